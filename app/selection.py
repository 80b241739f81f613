"""Things in a picture, by a click or by a box around them: flood fill and GrabCut on small copies.

Pictures are (H, W, 3) uint8 RGB, masks (H, W) bool. Places are parts of the width and the height,
0 to 1. Classical methods: they know colours, not things; a tolerance says how much alike is alike.
How well they do is measured by tests/selections.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.errors import MaskError

Picture = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels

SIDE = 192  # pixels of the copy in which a thing is looked for; GrabCut's time grows with the area
FINE = 288  # pixels of the copy of it alone in which its edge is found
GROUND = 0.3  # a flood of more than this part of the picture is ground, not a thing
MOST = 0.7  # of the picture that a box may cover when it grows
FIRST, NEXT = 2 / 3, 1 / 2  # of its longer side that a box grows by
ROUNDS = 4  # times that the box around a clicked thing may grow
STEPS = 2  # of GrabCut in each round
TOUCHING = 0.04  # of the box's outline that a thing which lies free in it may touch
LARGEST = 0.25  # of the picture that a thing may be
FULL = 0.5  # of the box that such a thing may fill
SOLID = 0.6  # part of a thing that is left where its threads are rubbed out
SAME = 0.9  # of two floods in common: GrabCut makes much the same of both
STARK = 40  # difference of colours, of 255 in L*a*b*, from which on an edge is as clear as can be
BESIDE = 7  # pixels across which the two sides of an edge are compared
LARGER, OTHERS, LOOSE = 0.15, 0.5, 0.7  # see `_worth`
SMALL = 0.01  # of the picture: what is smaller is looked for once more, from nearer by
NEARBY = 3 / 8  # of the picture's longer side that is seen then
FLAT = (6, 18)  # reach in pixels and in colour over which texture is levelled
BORDER = 2  # pixels at the picture's edge that no box reaches into
LEAST = 0.05  # a piece smaller than this part of the largest is dropped
NARROW = 0.014  # of a side of the picture: a box that is a slip of the hand
BAND = 0.05  # of a thing's longer side by which its edge may still move
TOLERANCE = 24  # of 255, in L*a*b*


@dataclass(frozen=True)
class View:
    """A part of a picture in small: ``colours`` (h, w, 3) RGB, the same ``flat`` in L*a*b*, and
    where it lies in the picture."""

    colours: Picture
    flat: Picture
    box: Box

    @classmethod
    def of(cls, picture: Picture, box: Box) -> View:
        small = _small(picture[box[1] : box[3], box[0] : box[2]], SIDE)
        return cls(small, _levelled(small), box)

    def pixel(self, place: tuple[int, int]) -> tuple[int, int]:
        """Where a pixel (x, y) of the picture is here."""
        height, width = self.flat.shape[:2]
        left, top, right, bottom = self.box
        x = (place[0] - left) * width // (right - left)
        y = (place[1] - top) * height // (bottom - top)
        return min(max(x, 0), width - 1), min(max(y, 0), height - 1)

    def colour(self, place: tuple[int, int]) -> Picture:
        """The colour of a pixel of the picture here, in L*a*b*."""
        x, y = self.pixel(place)
        return np.asarray(self.flat[y, x])


@dataclass(frozen=True)
class Guess:
    """What a thing may be, in a view: a mask, and how much is to be said for it."""

    view: View
    mask: Mask
    worth: float
    part: float  # of the picture


def thing_at(picture: Picture, place: tuple[float, float], tolerance: int = TOLERANCE) -> Mask:
    """What lies under a click.

    Texture is levelled first, then what is alike around the click is flooded. A large flood is
    ground (sky, a wall) and is the answer. A small one may be a part of a thing: GrabCut looks for
    the rest of it in growing boxes around floods of several tolerances, and of all that is found
    the best is taken (`_worth`), at last with an edge of its own at a finer scale. What is small is
    looked for once more in a part of the picture.
    """
    height, width = picture.shape[:2]
    x = min(max(int(place[0] * width), 0), width - 1)
    y = min(max(int(place[1] * height), 0), height - 1)
    whole = View.of(picture, (0, 0, width, height))
    flood = _flood(whole.flat, whole.pixel((x, y)), tolerance)
    lost = not _alike(_colour(picture, (x, y)), whole.colour((x, y)), tolerance)  # it is so small
    if flood.mean() > GROUND and not lost:
        return _large(_tidy(flood), picture)
    best = _best(whole, (x, y), tolerance, 1.0)
    nearer = _nearer(picture, (x, y)) if lost or best.part < SMALL else None
    if nearer is not None:
        left, top, right, bottom = nearer.box
        share = (right - left) * (bottom - top) / (width * height)
        best = max(best, _best(nearer, (x, y), tolerance, share), key=lambda guess: guess.worth)
    return _finer(picture, best)


def _colour(picture: Picture, place: tuple[int, int]) -> Picture:
    """The colour of a pixel and its neighbours, in L*a*b*."""
    x, y = place
    around = picture[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].reshape(-1, 3)
    middle = np.median(around, axis=0).astype(np.uint8)
    return np.asarray(cv2.cvtColor(middle[None, None], cv2.COLOR_RGB2LAB)[0, 0])


def _nearer(picture: Picture, place: tuple[int, int]) -> View | None:
    """The part of the picture around a pixel; None where it would be hardly anything."""
    height, width = picture.shape[:2]
    side = round(NEARBY * max(width, height))
    if side < SIDE // 4:
        return None
    left = min(max(place[0] - side // 2, 0), max(width - side, 0))
    top = min(max(place[1] - side // 2, 0), max(height - side, 0))
    return View.of(picture, (left, top, min(left + side, width), min(top + side, height)))


def _alike(one: Picture, other: Picture, tolerance: int) -> bool:
    """Whether two colours are within a tolerance of each other."""
    return bool(np.abs(one.astype(int) - other.astype(int)).max() <= tolerance)


def _best(view: View, place: tuple[int, int], tolerance: int, share: float) -> Guess:
    """The likeliest thing at a pixel of the picture; ``share`` is the view's part of it."""
    masks: list[tuple[Mask, bool]] = []
    before: list[tuple[Mask, bool]] = []
    for reach in (tolerance, tolerance // 2, tolerance // 4):
        flood = _flood(view.flat, view.pixel(place), reach)
        if not before or _in_common(flood, before[0][0]) < SAME:
            before = [(flood, False), *_grown(view, flood)]
        masks += before  # what comes of two floods counts twice
    fitting = [each for each in masks if each[0].mean() < LARGEST] or masks[:1]
    every = [mask for mask, _ in masks]
    guesses = [
        Guess(view, mask, _worth(mask, free, view.flat, every, share), float(mask.mean()) * share)
        for mask, free in fitting
    ]
    return max(guesses, key=lambda guess: guess.worth)


def _grown(view: View, flood: Mask) -> Iterator[tuple[Mask, bool]]:
    """The things that a flood may be a part of, in growing boxes; whether each is free in its."""
    height, width = flood.shape
    box = _box(flood)
    for turn in range(ROUNDS if flood.mean() <= GROUND else 0):
        box = _widened(box, width, height, FIRST if turn == 0 else NEXT)
        if (box[2] - box[0]) * (box[3] - box[1]) > MOST * width * height:
            break
        thing = _joined(_cut(view.colours, box, flood), flood)
        yield thing, _free(thing, box)


def _in_common(one: Mask, other: Mask) -> float:
    """The share of two masks that is in both."""
    return float((one & other).sum() / (one | other).sum())


def _worth(
    mask: Mask, free: bool, flat: Picture, others: Sequence[Mask], share: float
) -> float:
    """How much is to be said for a mask as a thing: an edge that is clear all around; that other
    ways have led to much the same; that it lies free; and its size, for a thing's part is a thing
    as well. The powers are those that did best on the things of tests/selections.py."""
    alike = np.mean([_in_common(mask, each) for each in others])
    clear = _clear(mask, flat)
    size = float(mask.mean()) * share
    return float(clear**2 * size**LARGER * alike**OTHERS * (1.0 if free else LOOSE))


def _clear(mask: Mask, flat: Picture) -> float:
    """How clear the edge of a mask is, 0 to 1: the mean difference of the colours inside and
    outside along it."""
    inside = mask.astype(np.float32)
    eroded = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=1)
    edge = mask & (eroded == 0)
    if not edge.any():
        return 0.0
    sides = []
    for side in (inside, 1 - inside):
        weight = cv2.blur(side, (BESIDE, BESIDE))
        colours = cv2.blur(flat * side[..., None], (BESIDE, BESIDE))
        sides.append(colours[edge] / np.maximum(weight[edge], 1e-3)[:, None])
    apart = np.linalg.norm(sides[0] - sides[1], axis=1)
    return float(np.minimum(apart / STARK, 1).mean())


def _finer(picture: Picture, guess: Guess) -> Mask:
    """A guess at the picture's size, its edge found anew in a larger copy of the thing alone."""
    left, top, right, bottom = guess.view.box
    rough = np.zeros(picture.shape[:2], np.uint8)
    size = (right - left, bottom - top)
    soft = cv2.resize(_tidy(guess.mask).astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    rough[top:bottom, left:right] = soft >= 0.5
    x0, y0, x1, y1 = _box(rough > 0)
    coarse = max(size) / max(guess.mask.shape)  # pixels of the picture in one of the view's
    band = max(BAND * max(x1 - x0, y1 - y0), 1.5 * coarse)
    reach = round(3 * band) + 4
    box = (
        max(x0 - reach, 0), max(y0 - reach, 0),
        min(x1 + reach, picture.shape[1]), min(y1 + reach, picture.shape[0]),
    )  # fmt: skip
    part = (slice(box[1], box[3]), slice(box[0], box[2]))
    near = _small(picture[part], FINE)
    thing = cv2.resize(rough[part], (near.shape[1], near.shape[0]), interpolation=cv2.INTER_AREA)
    moves = max(1, round(band * max(near.shape) / max(box[2] - box[0], box[3] - box[1])))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * moves + 1,) * 2)
    trimap = np.where(thing > 0, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    trimap[cv2.erode(thing, kernel, borderValue=1) > 0] = cv2.GC_FGD
    trimap[cv2.dilate(thing, kernel) == 0] = cv2.GC_BGD
    found = _grab(near, trimap)
    if not found.any() or not (trimap == cv2.GC_BGD).any():
        found = thing > 0
    mask = np.zeros(picture.shape[:2], bool)
    mask[part] = _large(_tidy(found), picture[part])
    return mask


def _joined(thing: Mask, flood: Mask) -> Mask:
    """The pieces of ``thing`` that hang together with the flood, and the flood."""
    _, parts = cv2.connectedComponents(thing.astype(np.uint8), connectivity=8)
    return np.isin(parts, np.unique(parts[flood & thing])) & thing | flood


def _free(thing: Mask, box: Box) -> bool:
    """Whether what GrabCut found in a box lies free in it, in one piece rather than threads."""
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
    if thing.sum() > FULL * (right - left) * (bottom - top):
        return False
    inside = thing.astype(np.uint8)
    thread = max(3, round(0.12 * np.sqrt(thing.sum()))) | 1
    opened = cv2.morphologyEx(inside, cv2.MORPH_OPEN, np.ones((thread, thread), np.uint8))
    return bool(opened.sum() >= SOLID * thing.sum())


def thing_in(picture: Picture, box: tuple[float, float, float, float]) -> Mask:
    """The thing that a box (left, top, right, bottom) was drawn around; MaskError for none."""
    height, width = picture.shape[:2]
    left, right = sorted((round(box[0] * width), round(box[2] * width)))
    top, bottom = sorted((round(box[1] * height), round(box[3] * height)))
    if min((right - left) / width, (bottom - top) / height) < NARROW:
        raise MaskError("the box is too small; drag it around the whole thing, or click the thing")
    reach = max(right - left, bottom - top) // 2
    around = (
        max(left - reach, 0), max(top - reach, 0),
        min(right + reach, width), min(bottom + reach, height),
    )  # fmt: skip
    view = View.of(picture, around)
    (x0, y0), (x1, y1) = view.pixel((left, top)), view.pixel((right - 1, bottom - 1))
    thing = _cut(view.colours, (x0, y0, x1 + 1, y1 + 1), None)
    if not thing.any():
        raise MaskError("nothing in the box stands out; use the lasso or the brush")
    return _finer(picture, Guess(view, thing, 1.0, float(thing.mean())))


def _small(picture: Picture, side: int) -> Picture:
    factor = min(1.0, side / max(picture.shape[:2]))
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
    found = np.zeros(guess.shape, bool)
    found[near] = _grab(small[near], guess[near])
    return found


def _grab(colours: Picture, guess: NDArray[np.uint8]) -> Mask:
    """GrabCut from a guess (H, W) of its four kinds: the thing."""
    cv2.setRNGSeed(0)  # its colour clusters begin at random
    ground, thing = np.zeros((1, 65)), np.zeros((1, 65))
    part = np.ascontiguousarray(guess)
    cv2.grabCut(
        np.ascontiguousarray(colours), part, None, ground, thing, STEPS, cv2.GC_INIT_WITH_MASK
    )
    return (part == cv2.GC_FGD) | (part == cv2.GC_PR_FGD)


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
