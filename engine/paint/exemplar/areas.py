"""What is worked on in one go: a hole, or several that lie close together, and their surroundings.

Boxes are (left, top, right, bottom).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.arrays import Box, Mask

CELL = 8  # pixels on a side of the cells by which holes are told apart
APART = 3  # holes that are so many cells away from each other are filled one by one ...
MOST = 12  # ... unless there are more than this
MARGIN = 0.6  # surroundings on each side, as a part of the side of a square of the holes' size ...
SMALLEST_MARGIN = 96  # ... and in pixels at least


@dataclass(frozen=True)
class Area:
    """A ``box`` of the picture, and which pixels in it (h, w) are to be filled in one go."""

    box: Box
    wanted: Mask

    @property
    def window(self) -> tuple[slice, slice]:
        left, top, right, bottom = self.box
        return slice(top, bottom), slice(left, right)


def areas(hole: Mask) -> list[Area]:
    """The areas of a picture's ``hole`` (H, W), from top to bottom; none if there is no hole."""
    cells = _cells(hole)
    kernel = np.ones((2 * APART - 1,) * 2, np.uint8)
    count, labels = cv2.connectedComponents(cv2.dilate(cells, kernel))
    labels = np.where(cells > 0, labels, 0)
    if count - 1 > MOST:
        labels, count = np.minimum(labels, 1), 2
    return [_area(hole, labels == number) for number in range(1, count)]


def _cells(hole: Mask) -> NDArray[np.uint8]:
    """Which cells hold anything of the hole, 0 or 1."""
    cells = np.zeros([-(-length // CELL) for length in hole.shape], np.uint8)
    x, y, width, height = cv2.boundingRect(hole.view(np.uint8))
    if width:
        left, top = x // CELL, y // CELL
        part = hole[top * CELL : y + height, left * CELL : x + width]
        for axis, length in enumerate(part.shape):
            part = np.logical_or.reduceat(part, np.arange(0, length, CELL), axis=axis)
        cells[top : top + part.shape[0], left : left + part.shape[1]] = part
    return cells


def _area(hole: Mask, cells: Mask) -> Area:
    height, width = hole.shape
    rows, columns = (np.flatnonzero(cells.any(axis=axis)) for axis in (1, 0))
    top, bottom = int(rows[0]) * CELL, min((int(rows[-1]) + 1) * CELL, height)
    left, right = int(columns[0]) * CELL, min((int(columns[-1]) + 1) * CELL, width)
    size = cells.sum() * CELL**2
    margin = max(round(MARGIN * float(size) ** 0.5), SMALLEST_MARGIN)
    box = (
        max(left - margin, 0),
        max(top - margin, 0),
        min(right + margin, width),
        min(bottom + margin, height),
    )
    y = np.arange(box[1], box[3]) // CELL
    x = np.arange(box[0], box[2]) // CELL
    wanted: Mask = hole[box[1] : box[3], box[0] : box[2]] & cells[y[:, None], x]
    return Area(box, wanted)
