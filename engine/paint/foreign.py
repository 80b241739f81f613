"""Whether a mask holds something that its surroundings have not: a thing that has to go.

Where it holds nothing but lake, a boat can be put onto the lake as it is; where it holds a dog, the
dog has to go before an owl stands in its place.
"""

from __future__ import annotations

import cv2
import numpy as np

from engine.arrays import RGB, Floats, Mask

SIDE = 96  # longer side, in pixels, at which it is looked at
MARGIN = 0.6  # surroundings on each side, as a part of the mask's longer side
HEIGHT = 60.0  # levels that the whole height is worth: sky is not found below a horizon
FOREIGN = 14.0  # distance from all surroundings from which a pixel is foreign
EXACT_TREE = 4  # OpenCV's number of the one tree that finds the very nearest
SHARE = 0.08  # part of the mask that is foreign if it holds something


def holds_something(picture: RGB, mask: Mask) -> bool:
    """Whether enough of what is masked is like nothing around it at about its height.

    Pixels are compared by colour, smoothed at two widths, and by how rough they are. True where
    there are no surroundings to tell.
    """
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    more = round(MARGIN * max(width, height))
    rows = slice(max(top - more, 0), top + height + more)
    columns = slice(max(left - more, 0), left + width + more)
    shown, hole = picture[rows, columns], mask[rows, columns]
    scale = min(SIDE / max(hole.shape), 1.0)
    size = (max(round(hole.shape[1] * scale), 1), max(round(hole.shape[0] * scale), 1))
    small = np.asarray(cv2.resize(shown, size, interpolation=cv2.INTER_AREA), np.uint8)
    inside = cv2.resize(hole.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    within, outside = inside > 0.5, inside == 0
    if not outside.any() or not within.any():
        return True
    looks = _looks(small)
    near = _nearest(looks[within], looks[outside])
    return bool((near > FOREIGN).mean() > SHARE)


def _looks(picture: RGB) -> Floats:
    """What each pixel looks like and how high it is, (h, w, 8), in levels."""
    lab = cv2.cvtColor(picture, cv2.COLOR_RGB2LAB).astype(np.float32)
    fine, wide = (cv2.GaussianBlur(lab, (0, 0), sigma) for sigma in (1.0, 3.0))
    light = lab[..., :1]
    rough = cv2.GaussianBlur((light - fine[..., :1]) ** 2, (0, 0), 3.0)[..., None] ** 0.5
    height = np.linspace(0, HEIGHT, len(lab), dtype=np.float32)[:, None, None]
    tall = np.broadcast_to(height, light.shape)
    found: Floats = np.concatenate([fine, wide * 0.5, rough * 2, tall], axis=2)
    return found


def _nearest(points: Floats, others: Floats) -> Floats:
    """The distance of each of the points (N, D) to the nearest of the others (M, D), (N,)."""
    tree = cv2.flann.Index(np.ascontiguousarray(others), {"algorithm": EXACT_TREE})
    _, squares = tree.knnSearch(np.ascontiguousarray(points), 1, params={"checks": -1})
    found: Floats = np.sqrt(squares[:, 0])
    return found
