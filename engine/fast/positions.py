"""Which positions an edit computes in the fast mode."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.draw.maps import unknown_maps

MARGIN = 1 / 24  # around what is regenerated this part of the side, in whole positions, is computed
WHOLE = 1 / 64  # scales of at most this share of all tokens are computed whole: they cost little
WORTHWHILE = 0.8  # with more than this share of the tokens to compute, the exact mode serves


def computed_positions(maps: list[Tensor], scales: tuple[int, ...]) -> tuple[Tensor, ...] | None:
    """The positions of each scale that an edit computes; None if that is not worthwhile.

    ``maps`` are the regenerate maps (s * s,). All of the smallest scales, and of the others what
    is regenerated, or lies over something that is at the finest scale, with a margin. (A position
    that the mask's edge touches is among them, so there is some margin even where a position is
    wider than it.)
    """
    total = sum(side * side for side in scales)
    chosen: list[Tensor] = []
    touched = unknown_maps(maps[-1], scales)
    for regenerate, over, side in zip(maps, touched, scales, strict=True):
        cells = int(side * MARGIN)
        near = F.max_pool2d(
            (regenerate | over).view(1, 1, side, side).float(),
            2 * cells + 1, stride=1, padding=cells,
        ).flatten()  # fmt: skip
        everything = side * side <= WHOLE * total
        chosen.append((torch.ones_like(near) if everything else near).nonzero()[:, 0])
    count = sum(positions.numel() for positions in chosen)
    return tuple(chosen) if count <= WORTHWHILE * total else None
