"""A picture with a hole at several sizes, known pixels mixed with known ones only."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from engine.arrays import Floats, Mask
from engine.paint.exemplar.patches import SIZE

SMALLEST_HOLE = 400  # pixels of the hole at the coarsest level
FEWEST_SOURCES = 200  # patches of the known area without which a level is of no use
SHARPEST = 0.5  # a smaller pixel is known if so much of it was


@dataclass(frozen=True)
class Level:
    """``picture`` (H, W, 3), ``hole`` (H, W), and what was ``drawn`` there (H, W, 3), if anything.

    ``scale`` is its side as a part of the full one's.
    """

    picture: Floats
    hole: Mask
    drawn: Floats | None
    scale: float

    @property
    def target(self) -> Mask:
        """Centres of patches that hold anything of the hole."""
        kernel = np.ones((SIZE, SIZE), np.uint8)
        reached: Mask = cv2.dilate(self.hole.astype(np.uint8), kernel) > 0
        return reached

    @property
    def source(self) -> Mask:
        """Centres of patches that are known; at the border the picture is mirrored."""
        return ~self.target

    def smaller(self) -> Level:
        """The level of half the size."""
        height, width = self.hole.shape
        size = (max(round(width / 2), 1), max(round(height / 2), 1))
        known = (~self.hole).astype(np.float32)
        share = cv2.resize(known, size, interpolation=cv2.INTER_AREA)
        mixed = cv2.resize(self.picture * known[..., None], size, interpolation=cv2.INTER_AREA)
        picture = mixed / np.maximum(share, 1e-6)[..., None]
        drawn = self.drawn
        if drawn is not None:
            drawn = cv2.resize(drawn, size, interpolation=cv2.INTER_AREA)
        return Level(picture, share < SHARPEST, drawn, self.scale / 2)

    @property
    def useful(self) -> bool:
        """Whether there is something to fill, and enough to fill it from."""
        return bool(self.hole.any()) and int(self.source.sum()) >= FEWEST_SOURCES


def pyramid(level: Level) -> list[Level]:
    """From fine to coarse, until the hole is small or little is known; empty if nothing is."""
    levels: list[Level] = []
    while level.useful:
        levels.append(level)
        if int(level.hole.sum()) <= SMALLEST_HOLE or min(level.hole.shape) < 4 * SIZE:
            break
        level = level.smaller()
    return levels
