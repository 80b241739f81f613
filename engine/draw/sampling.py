"""Top-k, top-p and the draw; or, instead of a draw, the expected code vector.

Noise is not a generator's state but a function of (seed, frame, scale, round, position): one
uniform number a position, turned into a token by inverting the cumulative distribution. Batching,
pruning and the number of variations therefore cannot change a draw.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.plan.rules import Sampling

STRATA = 32  # draws whose mean is taken for the expected code vector
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mix(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014): a bijection that scatters bits."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def uniforms(
    seed: int, scale: int, positions: NDArray[np.int64], *, frame: int = 0, turn: int = 0
) -> NDArray[np.float64]:
    """One number in [0, 1) for each position, the same on every machine."""
    with np.errstate(over="ignore"):
        key = np.full(1, seed, np.uint64)
        for part in (frame, scale, turn) if turn else (frame, scale):
            key = _mix(key * _GOLDEN + np.uint64(part + 1))
        bits = _mix(key + (positions.astype(np.uint64) + np.uint64(1)) * _GOLDEN)
    return (bits >> np.uint64(11)).astype(np.float64) / float(1 << 53)


def noise(
    seeds: tuple[int, ...], scale: int, positions: Tensor, *, frame: int = 0, turn: int = 0
) -> Tensor:
    """``uniforms`` for several variations: (B, n), float64, for positions on the CPU."""
    index = positions.numpy()
    rows = np.stack([uniforms(seed, scale, index, frame=frame, turn=turn) for seed in seeds])
    return torch.from_numpy(rows)


def likeliest(seeds: tuple[int, ...], scale: int, positions: Tensor, **_: int) -> Tensor:
    """In the place of `noise`: every draw is the likeliest token, with the chance that it has."""
    return torch.zeros(len(seeds), len(positions), dtype=torch.float64)


def draw(logits: Tensor, uniform: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor]:
    """Tokens and the log-probability each had.

    ``logits`` is (P, n, V), ``uniform`` (B, n) in [0, 1], B a multiple of P: each picture's
    logits serve B / P variations. Top-k first, then top-p among its survivors (the most likely
    token always survives). Returns ids (B, n) and log-probabilities (B, n).
    """
    probabilities, tokens = likely(logits, sampling)  # (P, n, k)
    ids, chance = _invert(probabilities, tokens, uniform[..., None])
    return ids[..., 0], chance.log()[..., 0]


def expect(logits: Tensor, codebook: Tensor, uniform: Tensor, sampling: Sampling) -> Tensor:
    """The code vector to expect: (P, n, V), (V, z), (B, n) -> (B, n, z).

    The mean over ``STRATA`` draws, one from each equal part of the filtered distribution, shifted
    by ``uniform``, float64 on the CPU as `noise` gives it: nearly its mean, so it has no grain. The
    exact mean would depend on the last bits of the logits, which batching changes; these draws do
    not. The authors' ``more_smooth`` mixes code vectors by a sharp Gumbel softmax to the same end
    (Tian et al., released code).
    """
    probabilities, tokens = likely(logits, sampling)  # (P, n, k)
    parts = torch.arange(STRATA)
    ids, _ = _invert(probabilities, tokens, (parts + uniform[..., None]) / STRATA)
    return codebook[ids].sum(2) / STRATA  # (B, n, STRATA, z) -> (B, n, z)


def _invert(probabilities: Tensor, tokens: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens at ``uniform`` (B, n, m) of the cumulative distributions (P, n, k), and the
    probability of each, both (B, n, m)."""
    uniform = uniform.float().to(probabilities.device)  # Apple's MPS takes no float64
    cumulative = probabilities.cumsum(-1)
    times = uniform.shape[0] // probabilities.shape[0]
    total = cumulative[..., -1:].repeat_interleave(times, dim=0)  # (B, n, 1)
    goal = (uniform * total).to(cumulative.dtype)
    cumulative = cumulative.repeat_interleave(times, dim=0)
    place = torch.searchsorted(cumulative, goal, right=True).clamp_(max=tokens.shape[-1] - 1)
    place = torch.minimum(place, (cumulative < total).sum(-1, keepdim=True))
    ids = tokens.repeat_interleave(times, dim=0).gather(-1, place)
    chance = probabilities.repeat_interleave(times, dim=0).gather(-1, place)
    return ids, (chance / total).clamp_min(1e-30)


def likely(logits: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor]:
    """The filtered distribution: probabilities, not normalised, and their tokens, (P, n, k)."""
    size = logits.shape[-1]
    logits = logits.float() / sampling.temperature
    keep = min(sampling.top_k or size, size)
    values, tokens = torch.topk(logits, keep, dim=-1, sorted=True)  # (P, n, k) descending
    probabilities = values.softmax(-1)
    if sampling.top_p < 1:
        cumulative = probabilities.cumsum(-1)
        probabilities = probabilities * (cumulative - probabilities < sampling.top_p)
    return probabilities, tokens
