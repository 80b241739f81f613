"""Guidance, top-k, top-p and the draw.

Noise is not a generator's state but a function of (seed, frame, scale, position): one uniform
number a position, turned into a token by inverting the cumulative distribution. Batching, pruning
and the number of variations therefore cannot change a draw.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How a token is drawn. ``top_k`` 0 and ``top_p`` 1 switch a filter off."""

    guidance: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    temperature: float = 1.0

    def guidance_at(self, k: int, scales: int) -> float:
        """Guidance grows linearly from 0 at the first scale (Tian et al., released code)."""
        return self.guidance * k / max(scales - 1, 1)


def _mix(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014): a bijection that scatters bits."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def uniforms(
    seed: int, scale: int, positions: NDArray[np.int64], *, frame: int = 0
) -> NDArray[np.float64]:
    """One number in [0, 1) for each position, the same on every machine."""
    with np.errstate(over="ignore"):
        key = np.full(1, seed, np.uint64)
        for part in (frame, scale):
            key = _mix(key * _GOLDEN + np.uint64(part + 1))
        bits = _mix(key + (positions.astype(np.uint64) + np.uint64(1)) * _GOLDEN)
    return (bits >> np.uint64(11)).astype(np.float64) / float(1 << 53)


def noise(
    seeds: tuple[int, ...], scale: int, positions: Tensor, *, frame: int = 0
) -> Tensor:
    """``uniforms`` for several variations: (B, n), float64, for positions on the CPU."""
    index = positions.numpy()
    rows = np.stack([uniforms(seed, scale, index, frame=frame) for seed in seeds])
    return torch.from_numpy(rows)


def guide(conditional: Tensor, unconditional: Tensor, strength: float) -> Tensor:
    """Classifier-free guidance on logits (Ho and Salimans 2022): (1 + t) c - t u."""
    return conditional + strength * (conditional - unconditional)


def draw(logits: Tensor, uniform: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor]:
    """Tokens and the log-probability each had.

    ``logits`` is (P, n, V), ``uniform`` (B, n) in [0, 1], B a multiple of P: each picture's
    logits serve B / P variations. Top-k first, then top-p among its survivors (the most likely
    token always survives). Returns ids (B, n) and log-probabilities (B, n).
    """
    pictures, _, size = logits.shape
    logits = logits.float() / sampling.temperature
    uniform = uniform.float().to(logits.device)
    keep = min(sampling.top_k or size, size)
    values, tokens = torch.topk(logits, keep, dim=-1, sorted=True)  # (P, n, k) descending
    probabilities = values.softmax(-1)
    cumulative = probabilities.cumsum(-1)
    if sampling.top_p < 1:
        inside = cumulative - probabilities < sampling.top_p
        probabilities = probabilities * inside
        cumulative = probabilities.cumsum(-1)
    times = uniform.shape[0] // pictures
    total = cumulative[..., -1:].repeat_interleave(times, dim=0)
    goal = (uniform[..., None] * total).to(cumulative.dtype)  # (B, n, 1)
    cumulative = cumulative.repeat_interleave(times, dim=0)
    place = torch.searchsorted(cumulative, goal, right=True).clamp_(max=keep - 1)
    place = torch.minimum(place, (cumulative < total).sum(-1, keepdim=True))
    ids = tokens.repeat_interleave(times, dim=0).gather(-1, place)[..., 0]
    chance = probabilities.repeat_interleave(times, dim=0).gather(-1, place)
    return ids, (chance / total).clamp_min(1e-30).log()[..., 0]
