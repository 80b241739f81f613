"""How deep in a mask a pixel lies."""

from __future__ import annotations

import cv2
import numpy as np

from engine.arrays import Floats, Mask

FARTHEST = 1024.0  # pixels; nothing asks for more, and as far its square is a float's whole number


def depth_in(mask: Mask) -> Floats:
    """The distance of each pixel of a mask to the nearest one outside, in pixels, at most
    ``FARTHEST``; 0 outside.

    The same to the bit wherever it is computed. OpenCV's own roots are not: their last bit depends
    on where in memory the array lies. Their squares are whole numbers, which are found again.
    """
    rough = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    near = np.minimum(rough, FARTHEST).astype(np.float64)
    exact: Floats = np.sqrt(np.rint(near * near)).astype(np.float32)
    return exact
