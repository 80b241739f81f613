"""Scaling between a window's pixels and the model's square without the whole window in memory.

A window around a long picture is mostly mirror: 30 000 pixels square for a picture of 30 000 x
1000. Here only the canvas is read, and only what lies on it is made. What is given is, to a
rounding, what OpenCV makes of the whole window. Arrays are (H, W) or (H, W, C), squares (S, S) or
(S, S, C).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.arrays import Floats, Window

BLOCK = 1 << 20  # numbers that are worked on at once
CUBIC = -0.75  # the coefficient of OpenCV's bicubic kernel


def shrunk(array: NDArray[Any], window: Window, side: int) -> Floats:
    """A window of an array, mirrored where it reaches beyond, scaled down to ``side`` by area."""
    height, width = array.shape[:2]
    edges = np.linspace(0, window.side, side + 1)
    values: NDArray[Any] = array.reshape(height, width, -1)
    down, across = (edges + window.top, 0), (edges + window.left, 1)
    for places, axis in (across, down) if width > height else (down, across):  # the longer first
        values = np.moveaxis(_averages(np.moveaxis(values, axis, 1), places), 1, axis)
    return np.ascontiguousarray(values).reshape(side, side, *array.shape[2:])


def _averages(values: NDArray[Any], edges: NDArray[np.float64]) -> Floats:
    """The means between neighbouring ``edges`` along rows (M, N, C) that are mirrored without end,
    (M, len(edges) - 1, C); by differences of running totals."""
    rows, length, channels = values.shape
    turn, place = np.divmod(edges, 2 * length)
    back = place > length
    place = np.where(back, 2 * length - place, place)
    first = np.minimum(place.astype(np.int64), length - 1)
    share = (place - first)[:, None]
    means = np.empty((rows, len(edges) - 1, channels), np.float32)
    step = max(BLOCK // (length * channels), 1)
    for begin in range(0, rows, step):
        block = values[begin : begin + step]
        totals = np.zeros((len(block), length + 1, channels))
        np.cumsum(block, axis=1, dtype=np.float64, out=totals[:, 1:])
        whole = totals[:, -1:]
        there = totals[:, first] * (1 - share) + totals[:, first + 1] * share
        there = np.where(back[:, None], 2 * whole - there, there) + 2 * whole * turn[:, None]
        means[begin : begin + step] = np.diff(there, axis=1) / np.diff(edges)[:, None]
    return means


def enlarged(square: Floats, side: int, rows: range, columns: range) -> Floats:
    """The part ``rows`` x ``columns`` of a square that was scaled up to ``side``, bicubic."""
    values = square.reshape(*square.shape[:2], -1)
    size = len(values)
    down, by_row = _taps(size, side, rows)
    across, by_column = _taps(size, side, columns)
    low = int(down.min())
    values = values[low : int(down.max()) + 1]
    wide = sum(values[:, at] * by[:, None] for at, by in zip(across, by_column, strict=True))
    part: Floats = sum(
        wide[at - low] * by[:, None, None] for at, by in zip(down, by_row, strict=True)
    )
    return part.reshape(len(rows), len(columns), *square.shape[2:])


def _taps(size: int, side: int, places: range) -> tuple[NDArray[np.int64], Floats]:
    """Which of ``size`` pixels make each of the ``places`` in ``side``, and by how much, (4, n)."""
    where = (np.arange(places.start, places.stop) + 0.5) * (size / side) - 0.5
    first = np.floor(where)
    x = where - first
    near = [((CUBIC + 2) * t - (CUBIC + 3)) * t * t + 1 for t in (x, 1 - x)]
    before = ((CUBIC * (x + 1) - 5 * CUBIC) * (x + 1) + 8 * CUBIC) * (x + 1) - 4 * CUBIC
    weights = np.stack([before, *near, 1 - before - near[0] - near[1]]).astype(np.float32)
    taps = first.astype(np.int64) + np.arange(-1, 3)[:, None]
    return np.clip(taps, 0, size - 1), weights
