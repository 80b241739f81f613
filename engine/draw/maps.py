"""From one mask to what is regenerated at each scale.

A mask here is the masked share of every pixel of the model square, (S, S) float in [0, 1];
a map is (s * s,) bool, True = regenerate.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

COARSE_COVERAGE = 0.5  # masked share of its area from which a coarse token is regenerated
FINE_COVERAGE = 0.02  # the same at the finest scale, where a kept token would show the old pixels


def coverage(mask: Tensor, side: int) -> Tensor:
    """The masked share of each cell of a side x side grid: (S, S) -> (side, side)."""
    return F.adaptive_avg_pool2d(mask[None, None].double(), side)[0, 0]


def regenerate_maps(
    mask: Tensor, scales: tuple[int, ...], *, fine: float = FINE_COVERAGE, structure: int = 0
) -> list[Tensor]:
    """Maps of the default rule, coarse to fine.

    A token is regenerated when more than a share of its own area is masked. The share falls from
    ``COARSE_COVERAGE`` to ``fine``, which holds at the finest scale. A position under a
    regenerated one of the scale before it is regenerated as soon as it passes ``fine``: no scale
    is skipped on the way down. The first ``structure`` scales are kept whole.
    """
    maps: list[Tensor] = []
    parent: Tensor | None = None
    last = len(scales) - 1
    for k, side in enumerate(scales):
        cells = coverage(mask, side)
        share = COARSE_COVERAGE + (fine - COARSE_COVERAGE) * (k / last if last else 1.0)
        chosen = cells > share
        if parent is not None:
            nearest = F.interpolate(parent[None, None].float(), size=(side, side), mode="nearest")
            chosen |= (nearest[0, 0] > 0) & (cells > fine)
        if k < min(structure, last):
            chosen = torch.zeros_like(chosen)
        maps.append(chosen.flatten())
        parent = chosen
    if not maps[-1].any() and bool((mask > 0).any()):  # a speck below every threshold
        cells = coverage(mask, scales[-1])
        maps[-1] = (cells == cells.max()).flatten()
    return maps


def unknown_maps(finest: Tensor, scales: tuple[int, ...]) -> list[Tensor]:
    """Where any of the finest positions under one is unknown: (..., s * s) bool for each scale.

    ``finest`` is (..., S * S) bool, True = unknown.
    """
    side = scales[-1]
    flat = finest.reshape(-1, 1, side, side).float()
    shape = finest.shape[:-1]
    pooled = [F.adaptive_max_pool2d(flat, each) > 0 for each in scales]
    return [each.reshape(*shape, -1) for each in pooled]


def paper_maps(keep: Tensor, scales: tuple[int, ...]) -> list[Tensor]:
    """Maps of the rule "paper" from a keep mask at the finest scale, (s, s) with 1 = keep.

    Bilinear resizing, keep where > 0.5, the 1x1 scale always kept (the VAR authors' demo).
    """
    maps: list[Tensor] = []
    for side in scales:
        kept = F.interpolate(
            keep[None, None].float(), size=(side, side), mode="bilinear", align_corners=False
        )
        regenerate = (kept[0, 0] <= 0.5).flatten()
        maps.append(torch.zeros_like(regenerate) if side == 1 else regenerate)
    return maps


def finest_keep(mask: Tensor, scales: tuple[int, ...]) -> Tensor:
    """The keep mask of the rule "paper": finest positions that touch no masked pixel."""
    return (coverage(mask, scales[-1]) == 0).float()
