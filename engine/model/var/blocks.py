"""One transformer block of VAR: attention and MLP, modulated by the label (adaLN).

The residual stream is (B, n, C) in float32 whatever the precision of the weights; what enters a
matrix product is cast to the weights' dtype. State-dict names are the official ones.
"""

from __future__ import annotations

import math
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.model.attention import Attention, attend_by_scale
from engine.model.spec import HEAD_SIZE, VARSpec

NORM_EPS = 1e-6
SHORTEST = 1e-12  # length below which a vector is not made longer, as in `F.normalize`
MAX_LOG_SCALE = math.log(100)  # the clamp on the learned attention scale (after Swin v2)
INITIAL_LOG_SCALE = math.log(4)


class Modulation(NamedTuple):
    """What a label does to one block; every tensor is (B, 1, C)."""

    gamma1: Tensor
    gamma2: Tensor
    scale1: Tensor
    scale2: Tensor
    shift1: Tensor
    shift2: Tensor


def modulated_norm(x: Tensor, scale: Tensor, shift: Tensor, dtype: torch.dtype) -> Tensor:
    """LayerNorm without affine, then (1 + scale) and shift; (B, n, C) in ``dtype``.

    Scale and shift are (B, 1, C). On a CPU they are the norm's own weights, row by row of the
    batch, which goes over the memory once less.
    """
    x, factor, width = x.float(), 1 + scale, x.shape[-1:]
    if x.device.type != "cpu" or torch.is_grad_enabled():
        return torch.addcmul(shift, F.layer_norm(x, width, eps=NORM_EPS), factor).to(dtype)
    rows = [
        F.layer_norm(row, width, own[0], moved[0], NORM_EPS)
        for row, own, moved in zip(x, factor, shift, strict=True)
    ]
    if len(rows) == 1:
        return rows[0][None].to(dtype)
    out = x.new_empty(x.shape, dtype=dtype)
    for place, row in zip(out, rows, strict=True):
        place.copy_(row)
    return out


def unit(x: Tensor, scale: Tensor | None = None) -> Tensor:
    """Vectors along the last dimension at length 1, or ``scale``, in float32."""
    length: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
    length = length.clamp_min(SHORTEST)
    return x * (length.reciprocal() if scale is None else scale / length)


def stored(store: Tensor, new: Tensor, place: slice | Tensor) -> Tensor:
    """Everything to attend to, (B, >= m, H, D): ``store`` with the ``new`` at their ``place``.

    What lies beyond the store's end is in the result only.
    """
    if isinstance(place, Tensor):
        return store.index_copy_(1, place, new)
    room = store.shape[1] - place.start
    store[:, place] = new[:, :room]
    if new.shape[1] <= room:
        return store
    return torch.cat([store[:, : place.start], new], dim=1)


class SelfAttention(nn.Module):
    """Multi-head attention, optionally over l2-normalised q and k with a learned scale."""

    zero_k_bias: Tensor

    def __init__(self, spec: VARSpec, attention: Attention) -> None:
        super().__init__()
        width = spec.width
        self.heads = spec.heads
        self.attention = attention
        self.scale = spec.attention_scale
        self.l2_norm = spec.l2_norm
        if spec.l2_norm:
            self.scale_mul_1H11 = nn.Parameter(
                torch.full((1, spec.heads, 1, 1), INITIAL_LOG_SCALE)
            )
        self.mat_qkv = nn.Linear(width, 3 * width, bias=False)
        self.to_q: nn.Module | None = None  # with ``to_kv`` instead of mat_qkv once it is packed
        self.to_kv: nn.Module | None = None
        self.q_bias = nn.Parameter(torch.zeros(width))
        self.v_bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("zero_k_bias", torch.zeros(width))
        self.proj = nn.Linear(width, width)

    def queries(self, x: Tensor) -> Tensor:
        """(B, n, C) -> (B, n, H, D), normalised and scaled."""
        width = x.shape[-1]
        q: Tensor
        if self.to_q is not None:
            q = self.to_q(x)
        else:
            q = F.linear(x, self.mat_qkv.weight[:width], self.q_bias)
        q = q.unflatten(-1, (self.heads, HEAD_SIZE))
        if self.l2_norm:
            log_scale = self.scale_mul_1H11.float().clamp_max(MAX_LOG_SCALE)
            q = unit(q, log_scale.exp().view(1, 1, -1, 1))
        return q.to(x.dtype)

    def keys_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, n, C) -> two of (B, n, H, D); the keys normalised."""
        width = x.shape[-1]
        if self.to_kv is not None:
            kv = self.to_kv(x)
        else:
            bias = torch.cat([self.zero_k_bias, self.v_bias])
            kv = F.linear(x, self.mat_qkv.weight[width:], bias)
        k, v = kv.unflatten(-1, (2, self.heads, HEAD_SIZE)).unbind(-3)
        if self.l2_norm:
            k = unit(k).to(x.dtype)
        return k, v

    def forward(
        self,
        x: Tensor,
        store: tuple[Tensor, Tensor] | None,
        place: slice | Tensor,
        segments: list[tuple[int, int, int]],
        rows: Tensor | None,
    ) -> Tensor:
        k, v = self.keys_values(x)
        if store is not None:
            k, v = stored(store[0], k, place), stored(store[1], v, place)
        q = self.queries(x if rows is None else x[:, rows])
        out = attend_by_scale(self.attention, q, k, v, self.scale, segments)  # (B, n, H, D)
        return cast(Tensor, self.proj(out.flatten(2)))


class MLP(nn.Module):
    """Two layers with a tanh-approximated GELU."""

    def __init__(self, width: int, ratio: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, ratio * width)
        self.fc2 = nn.Linear(ratio * width, width)
        self.activation: nn.Module = nn.GELU(approximate="tanh")

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.fc2(self.activation(self.fc1(x))))


class Block(nn.Module):
    """x + gamma1 attn(adaLN(x)), then x + gamma2 mlp(adaLN(x))."""

    def __init__(self, spec: VARSpec, attention: Attention) -> None:
        super().__init__()
        self.attn = SelfAttention(spec, attention)
        self.ffn = MLP(spec.width, spec.mlp_ratio)
        if spec.shared_adaln:
            self.ada_gss = nn.Parameter(
                torch.randn(1, 1, 6, spec.width) / math.sqrt(spec.width)
            )
        else:
            self.ada_lin = nn.Sequential(nn.SiLU(), nn.Linear(spec.width, 6 * spec.width))

    def modulation(self, label: Tensor, shared: Tensor | None) -> Modulation:
        """From the label embedding (B, C), or from the shared projection (B, 6 C)."""
        width = label.shape[-1]
        if shared is None:
            six = self.ada_lin(label).view(-1, 1, 6, width)
        else:
            six = self.ada_gss + shared.view(-1, 1, 6, width)
        return Modulation(*six.float().unbind(2))

    def forward(
        self,
        x: Tensor,
        modulation: Modulation,
        store: tuple[Tensor, Tensor] | None,
        place: slice | Tensor,
        segments: list[tuple[int, int, int]],
        rows: Tensor | None = None,
    ) -> Tensor:
        """(B, n, C) -> (B, n, C), or (B, len(rows), C): with ``rows`` only these positions get a
        query and an MLP, while all of them give keys and values (enough in the last block), which
        go to ``place`` in the ``store``."""
        m = modulation
        dtype = self.ffn.fc1.weight.dtype
        normed = modulated_norm(x, m.scale1, m.shift1, dtype)
        if rows is not None:
            x = x[:, rows]
        attended = self.attn(normed, store, place, segments, rows)
        x = torch.addcmul(x, attended, m.gamma1)
        normed = modulated_norm(x, m.scale2, m.shift2, dtype)
        return torch.addcmul(x, self.ffn(normed), m.gamma2)
