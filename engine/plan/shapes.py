"""What the shape of a mask says about the edit: a thing to be drawn, or a picture to be extended.

A mask here is that of the model's square: (S, S) float32, the masked share of every pixel.
"""

from __future__ import annotations

import cv2
import numpy as np

from engine.arrays import Floats, Mask

HIDING = 0.6  # masked share of the frame's middle from which a thing there is hidden whole
CENTRED = 0.1  # distance from the frame's middle, of its side, up to which a box is around it
NARROW = 1 / 6  # shorter side of a box, of the frame's, from which a thing in it can be told
COMPACT = 0.6  # masked share of the box around a mask from which the mask is in one piece
SURROUNDING = 0.75  # masked share of the frame's border from which the hole lies all around


def hides_middle(mask: Floats) -> bool:
    """Whether a thing in the frame's middle, where models draw one, may be wholly under (S, S)."""
    edge = mask.shape[0] // 4
    return bool(mask[edge : mask.shape[0] - edge, edge : mask.shape[1] - edge].mean() > HIDING)


def holds_thing(mask: Floats) -> bool:
    """Whether a mask, (S, S), is where a thing is to be: it hides the frame's middle, or is in one
    piece around it, such as a band. Strokes and what extends a picture are not, nor specks."""
    if hides_middle(mask):
        return True
    side = mask.shape[0]
    if mask[side // 2, side // 2] <= 0.5:
        return False
    left, top, width, height = cv2.boundingRect((mask > 0.5).view(np.uint8))
    box = mask[top : top + height, left : left + width]
    apart = max(abs(2 * left + width - side), abs(2 * top + height - side)) / 2
    roomy = min(box.shape) >= NARROW * side
    return roomy and apart <= CENTRED * side and float(box.mean()) > COMPACT


def surrounds(hole: Mask) -> bool:
    """Whether the known area is an island in the hole, (S, S) bool, at the square's edge."""
    border = np.concatenate([hole[0], hole[-1], hole[1:-1, 0], hole[1:-1, -1]])
    return bool(border.mean() > SURROUNDING)
