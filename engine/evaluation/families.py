"""The six mask families: strokes after LaMa's generator, and RePaint's box, half and expand.

Strokes: Suvorov et al. 2022, "Resolution-robust large mask inpainting", the released settings for
256 px (thin, medium, thick), scaled to the picture's side. A mask is (side, side) bool.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
FAMILIES = ("thin", "medium", "thick", "box", "half", "expand")


@dataclass(frozen=True)
class Strokes:
    """Settings of the generator at 256 px: broken lines of random direction, length and width."""

    fewest: int
    most: int
    length: int
    width: int
    largest_share: float


STROKES = {
    "thin": Strokes(4, 50, 40, 10, 0.3),
    "medium": Strokes(4, 5, 100, 50, 0.4),
    "thick": Strokes(1, 5, 200, 100, 0.5),
}
MAX_VERTICES = 8
MAX_ANGLE = 4.0
SMALLEST_SHARE = 0.02


def make_mask(family: str, side: int, rng: np.random.Generator) -> Mask:
    """One mask of a family: strokes at random, the middle quarter, one half, or all but it."""
    if family in STROKES:
        while True:
            mask = _strokes(STROKES[family], side, rng)
            if SMALLEST_SHARE <= mask.mean() <= STROKES[family].largest_share:
                return mask
    mask = np.zeros((side, side), bool)
    quarter, half = side // 4, side // 2
    if family == "box":
        mask[quarter : side - quarter, quarter : side - quarter] = True
    elif family == "half":
        mask[:, half:] = True
        mask = np.rot90(mask, int(rng.integers(4)))
    elif family == "expand":
        mask[...] = True
        mask[quarter : side - quarter, quarter : side - quarter] = False
    else:
        raise ValueError(f"unknown mask family {family!r}; known: {', '.join(FAMILIES)}")
    return np.ascontiguousarray(mask)


def _strokes(settings: Strokes, side: int, rng: np.random.Generator) -> Mask:
    canvas = np.zeros((side, side), np.uint8)
    unit = side / 256
    for _ in range(int(rng.integers(settings.fewest, settings.most + 1))):
        x, y = (int(v) for v in rng.integers(0, side, 2))
        for vertex in range(1 + int(rng.integers(MAX_VERTICES))):
            angle = 0.01 + rng.uniform(0, MAX_ANGLE)
            if vertex % 2 == 0:
                angle = 2 * np.pi - angle
            length = (10 + rng.uniform(0, settings.length)) * unit
            width = max(round((5 + rng.uniform(0, settings.width)) * unit), 1)
            to_x = int(np.clip(x + length * np.sin(angle), 0, side))
            to_y = int(np.clip(y + length * np.cos(angle), 0, side))
            cv2.line(canvas, (x, y), (to_x, to_y), 1, width)
            x, y = to_x, to_y
    return canvas.astype(bool)
