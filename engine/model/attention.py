"""Scaled dot-product attention, chosen by device: xformers on CUDA, torch's SDPA elsewhere.

Every kernel takes q (B, n, H, D), k and v (B, m, H, D) and a scale, attends without a bias, and
returns (B, n, H, D). That is xformers' own layout, so its path copies nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

Attention = Callable[[Tensor, Tensor, Tensor, float], Tensor]

log = logging.getLogger(__name__)


def sdpa(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    """torch's fused attention."""
    out = F.scaled_dot_product_attention(
        q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), scale=scale
    )  # (B, H, n, D)
    return out.transpose(1, 2)  # (B, n, H, D)


def xformers_attention(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    """``xformers.ops.memory_efficient_attention``; imported here, since it warns without CUDA.

    It wants one precision. Under autocast v is in half, but q and k, which are normalised in
    float32, are not: they follow v, as they do in torch's own.
    """
    from xformers.ops import memory_efficient_attention

    out: Tensor = memory_efficient_attention(q.to(v.dtype), k.to(v.dtype), v, scale=scale)
    return out  # (B, n, H, D)


@cache
def _xformers_problem(device: str) -> str | None:
    """Try xformers once on a tiny tensor; the reason why it cannot serve, or None."""
    try:
        probe = torch.zeros(1, 8, 1, 64, device=device, dtype=torch.float16)
        xformers_attention(probe, probe, probe, 1.0)
    except Exception as error:  # whatever a foreign kernel library throws means "do not use it"
        return (str(error).strip() or type(error).__name__).splitlines()[0]
    return None


def choose_attention(device: torch.device) -> Attention:
    """The kernel for a device. On CUDA without a working xformers: one line, then SDPA."""
    if device.type != "cuda":
        return sdpa
    problem = _xformers_problem(str(device))
    if problem is None:
        return xformers_attention
    log.warning("xformers has no working kernel here (%s); using torch's attention", problem)
    return sdpa


def attend_by_scale(
    attention: Attention,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    scale: float,
    segments: list[tuple[int, int, int]],
) -> Tensor:
    """Block-causal attention without a mask: one call per scale over that scale's prefix.

    ``segments`` holds ``(begin, end, visible)``: queries ``begin:end`` see keys ``:visible``.
    q is (B, n, H, D); k and v are (B, >= visible, H, D). Returns (B, n, H, D).
    """
    parts = [
        attention(q[:, begin:end], k[:, :visible], v[:, :visible], scale)
        for begin, end, visible in segments
    ]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
