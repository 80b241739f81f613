"""What is known of a frame before anything is drawn in it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from engine.arrays import Floats
from engine.fast.original import Original


@dataclass(frozen=True)
class Known:
    """What is known of a frame: features (P, z, S, S), a name of them, and how the fast mode, if
    it serves here, gets round the rest."""

    name: bytes
    features: Tensor
    original: Original | None = None
    before: Floats | None = None  # the picture that ``original`` is of
    positions: tuple[Tensor, ...] | None = None  # what the fast mode computes of each scale
