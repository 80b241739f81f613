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
Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels

WORK_SIDE = 288  # pixels; GrabCut's time grows with the area
GROUND = 0.3  # a flood of more than this part of the picture is ground, not a thing
MOST = 0.7  # of the picture that a box may cover when it grows
FIRST, NEXT = 2 / 3, 1 / 2  # of its longer side that a box grows by
ROUNDS = 5  # times that the box around a clicked thing may grow
STEPS = 2  # of GrabCut in each round
TOUCHING = 0.04  # of the box's outline that a thing which lies free in it may touch
LARGEST = 0.2  # of the picture that such a thing may be
FULL = 0.5  # of the box that such a thing may fill
ALIKE = 0.5  # share of colours that a thing may have in common with what is around it
SOLID = 0.6  # part of a thing that is left where its threads are rubbed out
RIM = 5  # pixels around a thing that it is compared with
FLAT = (6, 18)  # reach in pixels and in colour over which texture is levelled
EYE = 0.008  # of the picture: what is smaller may be a part of a thing
BORDER = 2  # pixels at the picture's edge that no box reaches into
LEAST = 0.05  # a piece smaller than this part of the largest is dropped
TOLERANCE = 24  # of 255, in L*a*b*


def thing_at(picture: Picture, place: tuple[float, float], tolerance: int = TOLERANCE) -> Mask:
    """What lies under a click.

    Texture is levelled first, then what is alike around the click is flooded. A large flood is
    ground (sky, a wall) and is the answer. A small one may be part of a thing, and GrabCut looks
    for the rest of it: whatever near the flood does not look like what surrounds it. What it finds
    counts only if it is a thing by itself (``_sane``), else the flood is the answer: on scenery
    GrabCut would run on to the next ridge and the one after.
    """
    small = _small(picture)
    height, width = small.shape[:2]
    x = min(max(int(place[0] * width), 0), width - 1)
    y = min(max(int(place[1] * height), 0), height - 1)
    flat = _levelled(small)
    flood = _flood(flat, (x, y), tolerance)
    if flood.mean() > GROUND:
        return _large(_tidy(flood), picture)
    for seed in (flood, _flood(flat, (x, y), tolerance // 2)):  # the first may leak out of it
        thing = _around(seed, small, flat)
        if thing is not None:
            return _large(_tidy(thing), picture)
    return _large(_tidy(flood), picture)


def _around(flood: Mask, small: Picture, flat: Picture) -> Mask | None:
    """The thing that a flood is a part of, in growing boxes around it; None if there is none.

    A very small one may be the eye of another, which is the answer if there is one.
    """
    height, width = flood.shape
    box, small_one = _box(flood), None
    for turn in range(ROUNDS):
        box = _widened(box, width, height, FIRST if turn == 0 else NEXT)
        if (box[2] - box[0]) * (box[3] - box[1]) > MOST * width * height:
            break
        thing = _joined(_cut(small, box, flood), flood)
        if not _sane(thing, flat, box):
            continue
        if thing.mean() > EYE:
            return thing
        small_one = thing if small_one is None else small_one
    return small_one


def _joined(thing: Mask, flood: Mask) -> Mask:
    """The pieces of ``thing`` that hang together with the flood, and the flood."""
    _, parts = cv2.connectedComponents(thing.astype(np.uint8), connectivity=8)
    return np.isin(parts, np.unique(parts[flood & thing])) & thing | flood


def _sane(thing: Mask, flat: Picture, box: Box) -> bool:
    """Whether what GrabCut found in a box is a thing by itself: free in its box, in one piece
    rather than threads, and of other colours than what is right around it."""
    height, width = thing.shape
    left, top, right, bottom = box
    outline = [
        thing[top:bottom, left] if left > BORDER else thing[:0, 0],
        thing[top:bottom, right - 1] if right < width - BORDER else thing[:0, 0],
        thing[top, left:right] if top > BORDER else thing[0, :0],
        thing[bottom - 1, left:right] if bottom < height - BORDER else thing[0, :0],
    ]
    edge = np.concatenate(outline)
    if edge.size and edge.mean() > TOUCHING:
        return False
    if thing.mean() > LARGEST or thing.sum() > FULL * (right - left) * (bottom - top):
        return False
    inside = thing.astype(np.uint8)
    thread = max(3, round(0.12 * np.sqrt(thing.sum()))) | 1
    opened = cv2.morphologyEx(inside, cv2.MORPH_OPEN, np.ones((thread, thread), np.uint8))
    if opened.sum() < SOLID * thing.sum():
        return False
    around = (cv2.dilate(inside, np.ones((2 * RIM + 1,) * 2, np.uint8)) > 0) & ~thing
    return not around.any() or _in_common(flat[thing], flat[around]) <= ALIKE


def _in_common(some: Picture, others: Picture) -> float:
    """The share of colours (N, 3) that two lots have in common, 0 to 1."""
    tables = []
    for colours in (some, others):
        cells = (colours // 32).astype(np.int64) @ (64, 8, 1)
        tables.append(np.bincount(cells, minlength=512) / len(cells))
    return float(np.minimum(*tables).sum())


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


def _levelled(small: Picture) -> Picture:
    """The picture in L*a*b* without its texture: fur, leaves and noise become flat colours, edges
    stay (mean shift)."""
    colours = cv2.cvtColor(cv2.medianBlur(small, 3), cv2.COLOR_RGB2LAB)
    return np.asarray(cv2.pyrMeanShiftFiltering(colours, *FLAT, maxLevel=1), np.uint8)


def _flood(flat: Picture, place: tuple[int, int], tolerance: int) -> Mask:
    """Pixels joined to ``place`` whose colour is within ``tolerance`` of its own."""
    found = np.zeros((flat.shape[0] + 2, flat.shape[1] + 2), np.uint8)
    flags = 4 | cv2.FLOODFILL_FIXED_RANGE | cv2.FLOODFILL_MASK_ONLY | (255 << 8)
    step = (tolerance,) * 3
    cv2.floodFill(flat.copy(), found, place, (0, 0, 0), step, step, flags)
    flood = found[1:-1, 1:-1] > 0
    flood[max(place[1] - 1, 0) : place[1] + 2, max(place[0] - 1, 0) : place[0] + 2] = True
    return flood


def _cut(small: Picture, box: Box, sure: Mask | None) -> Mask:
    """GrabCut: outside the box is ground, inside may be the thing, ``sure`` is."""
    left, top, right, bottom = box
    guess = np.full(small.shape[:2], cv2.GC_BGD, np.uint8)
    guess[top:bottom, left:right] = cv2.GC_PR_FGD
    if sure is not None:
        guess[sure] = cv2.GC_FGD
    if not (guess == cv2.GC_BGD).any():  # nothing to tell it from
        return guess > 0
    # what is far away says little of what is around the thing, and takes time
    far = max(16, (right - left) // 2, (bottom - top) // 2)
    near = (
        slice(max(0, top - far), bottom + far), slice(max(0, left - far), right + far)
    )  # fmt: skip
    cv2.setRNGSeed(0)  # its colour clusters begin at random
    ground, thing = np.zeros((1, 65)), np.zeros((1, 65))
    part = np.ascontiguousarray(guess[near])
    crop = np.ascontiguousarray(small[near])
    cv2.grabCut(crop, part, None, ground, thing, STEPS, cv2.GC_INIT_WITH_MASK)
    found = np.zeros(guess.shape, bool)
    found[near] = (part == cv2.GC_FGD) | (part == cv2.GC_PR_FGD)
    return found


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


def _box(mask: Mask) -> Box:
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _widened(box: Box, width: int, height: int, share: float) -> Box:
    """The box with that share of its longer side around it, leaving a rim of the picture."""
    left, top, right, bottom = box
    add = max(12, int(share * max(right - left, bottom - top)))
    return (
        max(left - add, BORDER), max(top - add, BORDER),
        min(right + add, width - BORDER), min(bottom + add, height - BORDER),
    )  # fmt: skip
