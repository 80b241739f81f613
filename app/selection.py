"""Things in a picture, by a click or by a box around them: flood fill and GrabCut on a small copy.

Pictures are (H, W, 3) uint8 RGB, masks (H, W) bool. Places are parts of the width and the height,
0 to 1. Classical methods: they know colours, not things; a tolerance says how much alike is alike.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.errors import MaskError

Picture = NDArray[np.uint8]
Mask = NDArray[np.bool_]

WORK_SIDE = 320  # pixels; GrabCut's time grows with the area
GROUND = 0.3  # a flood of more than this part of the picture is ground, not a thing
ROUNDS = 2  # times that the box around a clicked thing may grow
STEPS = 2  # of GrabCut in each round
LEAST = 0.05  # a piece smaller than this part of the largest is dropped
TOLERANCE = 24  # of 255, in L*a*b*


def thing_at(
    picture: Picture, place: tuple[float, float], tolerance: int = TOLERANCE
) -> Mask:
    """What lies under a click.

    What is alike around the click is flooded. A large flood is ground (sky, a wall) and is the
    answer; a small one is part of a thing, and GrabCut finds the rest of it: whatever near the
    flood does not look like what surrounds it.
    """
    small = _small(picture)
    height, width = small.shape[:2]
    x = min(max(int(place[0] * width), 0), width - 1)
    y = min(max(int(place[1] * height), 0), height - 1)
    flood = _flood(small, (x, y), tolerance)
    if flood.mean() > GROUND:
        return _large(_tidy(flood), picture)
    thing = flood
    box = _box(flood)
    for _ in range(ROUNDS):
        wide = _widened(box, width, height)
        thing = _cut(small, wide, flood)
        grown = _box(thing)
        if _inside(grown, wide, width, height):
            break
        box = grown
    _, parts = cv2.connectedComponents(thing.astype(np.uint8), connectivity=8)
    thing = np.isin(parts, np.unique(parts[flood & thing])) & thing | flood
    return _large(_tidy(thing), picture)


def thing_in(picture: Picture, box: tuple[float, float, float, float]) -> Mask:
    """The thing that a box (left, top, right, bottom) was drawn around; MaskError for none."""
    small = _small(picture)
    height, width = small.shape[:2]
    left, right = sorted((box[0], box[2]))
    top, bottom = sorted((box[1], box[3]))
    inner = (
        min(max(int(left * width), 0), width - 1), min(max(int(top * height), 0), height - 1),
        min(max(round(right * width), 1), width), min(max(round(bottom * height), 1), height),
    )  # fmt: skip
    if inner[2] - inner[0] < 4 or inner[3] - inner[1] < 4:
        raise MaskError("the box is too small; drag it around the whole thing, or click the thing")
    thing = _cut(small, inner, None)
    if not thing.any():
        raise MaskError("nothing in the box stands out; use the lasso or the brush")
    return _large(_tidy(thing), picture)


def _small(picture: Picture) -> Picture:
    factor = min(1.0, WORK_SIDE / max(picture.shape[:2]))
    size = (max(1, round(picture.shape[1] * factor)), max(1, round(picture.shape[0] * factor)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _large(mask: Mask, picture: Picture) -> Mask:
    size = (picture.shape[1], picture.shape[0])
    soft = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    return np.asarray(soft >= 0.5)


def _flood(small: Picture, place: tuple[int, int], tolerance: int) -> Mask:
    """Pixels joined to ``place`` whose colour is within ``tolerance`` of its own."""
    colours = cv2.cvtColor(cv2.medianBlur(small, 5), cv2.COLOR_RGB2LAB)
    found = np.zeros((small.shape[0] + 2, small.shape[1] + 2), np.uint8)
    flags = 4 | cv2.FLOODFILL_FIXED_RANGE | cv2.FLOODFILL_MASK_ONLY | (255 << 8)
    step = (tolerance,) * 3
    cv2.floodFill(colours, found, place, (0, 0, 0), step, step, flags)
    flood = found[1:-1, 1:-1] > 0
    flood[max(place[1] - 1, 0) : place[1] + 2, max(place[0] - 1, 0) : place[0] + 2] = True
    return flood


def _cut(small: Picture, box: tuple[int, int, int, int], sure: Mask | None) -> Mask:
    """GrabCut: outside the box is ground, inside may be the thing, ``sure`` is."""
    left, top, right, bottom = box
    guess = np.full(small.shape[:2], cv2.GC_BGD, np.uint8)
    guess[top:bottom, left:right] = cv2.GC_PR_FGD
    if sure is not None:
        guess[sure] = cv2.GC_FGD
    if not (guess == cv2.GC_BGD).any():  # nothing to tell it from
        return guess > 0
    cv2.setRNGSeed(0)  # its colour clusters begin at random
    ground, thing = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(small, guess, None, ground, thing, STEPS, cv2.GC_INIT_WITH_MASK)
    return (guess == cv2.GC_FGD) | (guess == cv2.GC_PR_FGD)


def _tidy(mask: Mask) -> Mask:
    """Without specks and holes, and one pixel wider: the rim of a thing is half its colour."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    closed = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, kernel)
    count, parts, stats, _ = cv2.connectedComponentsWithStats(closed, connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA]
    large = [i for i in range(1, count) if areas[i] >= LEAST * areas[1:].max()]
    kept = np.isin(parts, large).astype(np.uint8)
    outlines, _ = cv2.findContours(kept, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros_like(kept)
    cv2.drawContours(filled, outlines, -1, 1, cv2.FILLED)
    holes = (filled > 0) & (kept == 0)
    _, gaps, sizes, _ = cv2.connectedComponentsWithStats(holes.astype(np.uint8), connectivity=4)
    big = np.flatnonzero(sizes[:, cv2.CC_STAT_AREA] > LEAST * kept.sum())
    filled[np.isin(gaps, big[big > 0])] = 0  # a ring stays a ring
    return np.asarray(cv2.dilate(filled, kernel) > 0)


def _box(mask: Mask) -> tuple[int, int, int, int]:
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _widened(
    box: tuple[int, int, int, int], width: int, height: int
) -> tuple[int, int, int, int]:
    """The box with two thirds of its longer side around it, leaving a rim of the picture."""
    left, top, right, bottom = box
    add = max(12, 2 * max(right - left, bottom - top) // 3)
    return (
        max(left - add, 2), max(top - add, 2),
        min(right + add, width - 2), min(bottom + add, height - 2),
    )  # fmt: skip


def _inside(
    inner: tuple[int, int, int, int], outer: tuple[int, int, int, int], width: int, height: int
) -> bool:
    """Whether a thing lies free in its box, the picture's own border apart."""
    return (
        (inner[0] > outer[0] or outer[0] <= 2) and (inner[1] > outer[1] or outer[1] <= 2)
        and (inner[2] < outer[2] or outer[2] >= width - 2)
        and (inner[3] < outer[3] or outer[3] >= height - 2)
    )  # fmt: skip
