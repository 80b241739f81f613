"""How evenly the texture of a filled hole goes on: what tells good fills from others where the
truth is not known.

Where a fill copies sky beside leaves, and the picture does not, the strength of texture jumps. Of
several fills of one hole the most even one tends to be most like the truth; how near their patches
lie to what they were copied from says nothing of that (docs/photos.md).
"""

from __future__ import annotations

import cv2
import numpy as np

from engine.arrays import Floats, Mask

WIDTH = 7 / 384  # radius within which texture is measured, as a part of the picture's longer side
CALM = 1.0  # level added to every strength, so that flat places are not told apart by their noise


def unevenness(picture: Floats, hole: Mask) -> float:
    """How much the strength of texture changes from pixel to pixel, as a mean over the ``hole``
    (H, W) of a ``picture`` (H, W, 3) in 0..255: lower is more even.

    The strength is the logarithm of the standard deviation around a pixel, for each channel of
    L*a*b*.
    """
    lab = cv2.cvtColor(np.clip(picture, 0, 255) / np.float32(255), cv2.COLOR_RGB2LAB)
    around = (0, 0), WIDTH * max(hole.shape)
    mean, square = (cv2.GaussianBlur(each, *around) for each in (lab, lab * lab))
    strength = np.log(np.sqrt(np.maximum(square - mean * mean, 0)) + CALM)
    down, across = (
        np.diff(strength, axis=axis, append=strength.take([-1], axis)) for axis in (0, 1)
    )
    change: Floats = np.sqrt((down**2 + across**2).sum(axis=2))
    return float(change[hole].mean())
