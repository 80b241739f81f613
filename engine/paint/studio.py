"""A thing drawn before a plain ground, and cut out of it, as photographers and film makers do.

What a model has learned of things that are pasted on scenery it draws best where nothing else is
to be seen: before a scene it draws what goes with the scene into the thing, and what of it has the
scene's colours is lost when it is cut out. So the model is shown a plain grey square with a hole of
the size that it has learned to draw things in, whatever the mask. What it has drawn is put before
the picture by its alpha (Porter & Duff 1984), moved and made smaller until there is room for it.

Pictures are (S, S, 3) float32 in 0..255, of the model's square; masks (S, S) bool.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.arrays import RGB, Floats, Mask, to_bytes
from engine.frames.fill import push_pull
from engine.frames.frame import Frame

GREY = 128  # of the ground: few things have its colour
HOLE = 0.8  # side of the hole in it, of the ground's
CUTTING = 128  # side at which things are cut out
RIM = 1 / 20  # width, of the side, of the rim inside the hole that shows the ground as it was drawn
LIKE = 26.0  # root mean square difference of colours up to which the rim shows it
FAR = 40.0  # the same from the ground that was given: beyond, a thing fills the rim
SEEN = 0.2  # part of the rim that must show it
THING = 14.0  # the difference from the ground from which a pixel may belong to a thing
LEAST = 16  # pixels of a thing, at that side
SPECK = 0.02  # part of all that was cut out up to which a piece is none
OPENING = 0.005  # part of a thing from which what shows the ground inside it is an opening ...
BARE = 8.0  # ... if it differs from the ground by no more than that
SOFT = 1 / 85  # width, of the side, of the edge inside which a pixel is all thing
CLEAR, OPAQUE = 0.1, 0.9  # alphas that count as 0 and as 1
SEARCH = 64  # side at which a place for a thing is looked for
SIZES = np.arange(1.0, 0.075, -0.05)  # of a thing, of that it was drawn in, until it fits
SPILL = 0.01  # part of a thing that may lie outside the mask


def ground(side: int) -> Floats:
    """The plain ground, (side, side, 3)."""
    return np.full((side, side, 3), GREY, np.float32)


def middle_hole(side: int) -> Floats:
    """The hole in it: the masked share of every pixel, (side, side)."""
    mask = np.zeros((side, side), np.float32)
    rim = round(side * (1 - HOLE) / 2)
    mask[rim : side - rim, rim : side - rim] = 1
    return mask


def staged(frame: Frame) -> Frame:
    """The frame with a plain ground and a hole in its middle, in the place of all that the canvas
    shows."""
    side = len(frame.pixels)
    return replace(frame, pixels=ground(side), mask=middle_hole(side), hidden=None, studio=True)


def cut_out(picture: Floats, hole: Mask) -> tuple[Floats, Floats]:
    """The thing that was drawn in the hole of a plain ground: its colours and its alpha.

    Colours are (S, S, 3) in 0..255, without the ground's part in pixels that show some of both;
    alpha (S, S) is 0 to 1, 0 outside the hole, and 0 everywhere if there is no thing.
    """
    side = picture.shape[0]
    picture = np.ascontiguousarray(picture, np.float32)
    small = cv2.resize(picture, (CUTTING, CUTTING), interpolation=cv2.INTER_AREA)
    inside = scaled(hole, CUTTING)
    behind, bare = _as_drawn(small, inside)
    thing = _thing(small, inside, behind, bare)
    if thing is None:  # perhaps it fills the hole, and the rim shows nothing else
        behind, bare = ground(CUTTING), np.zeros_like(inside)
        thing = _thing(small, inside, behind, bare)
    if thing is None:
        return picture, np.zeros((side, side), np.float32)
    behind = cv2.resize(behind, (side, side), interpolation=cv2.INTER_LINEAR)
    share = cv2.resize(thing.astype(np.float32), (side, side), interpolation=cv2.INTER_LINEAR)
    whole = (share > 0.5).astype(np.uint8)
    core = _core(whole, max(round(side * SOFT), 1))
    own = push_pull(picture, core.astype(np.float32))  # the thing's colours, at its edge too
    apart = own - behind
    alpha = ((picture - behind) * apart).sum(axis=2) / np.maximum((apart**2).sum(axis=2), 1)
    alpha = np.clip((alpha - CLEAR) / (OPAQUE - CLEAR), 0, 1)
    near = cv2.dilate(whole, _disc(max(round(side / CUTTING), 1))) > 0
    alpha = np.where(core, 1, np.where(near, alpha, 0)).astype(np.float32)
    colours: Floats = picture + (1 - alpha)[..., None] * apart
    return colours, np.where(hole, alpha, 0).astype(np.float32)


def fitted(colours: Floats, alpha: Floats, room: Mask) -> tuple[Floats, Floats]:
    """A thing where there is ``room`` for it, (S, S): as it is if it fits, else moved and smaller.

    It has the largest of ``SIZES`` at which all but a little of it finds room, and stands as near
    the room's middle as it can; if no size will do, it has the smallest and stands where most does.
    """
    if float(alpha[~room].sum()) <= SPILL * float(alpha.sum()) or not room.any():
        return colours, alpha
    left, top, width, height = cv2.boundingRect((alpha > 0).view(np.uint8))
    cut = (slice(top, top + height), slice(left, left + width))
    thing, paint = np.ascontiguousarray(alpha[cut]), np.ascontiguousarray(colours[cut])
    size, middle = _place(thing, room)
    height, width = (max(round(length * size), 1) for length in thing.shape)
    top, left = (
        min(max(round(at - length / 2), 0), len(room) - length)
        for at, length in zip(middle, (height, width), strict=True)
    )
    edges = (top, len(room) - top - height, left, len(room) - left - width)
    small = cv2.resize(paint, (width, height), interpolation=cv2.INTER_AREA)
    shown = cv2.copyMakeBorder(small, *edges, cv2.BORDER_REPLICATE)  # nothing foreign at its edge
    small = cv2.resize(thing, (width, height), interpolation=cv2.INTER_AREA)
    placed = cv2.copyMakeBorder(small, *edges, cv2.BORDER_CONSTANT, value=0)
    return shown, placed


def _place(thing: Floats, room: Mask) -> tuple[float, tuple[float, float]]:
    """The size at which a thing (h, w) finds room (S, S), and where its middle is then."""
    scale = SEARCH / len(room)
    free = cv2.resize(room.astype(np.float32), (SEARCH, SEARCH), interpolation=cv2.INTER_AREA)
    middle = np.argwhere(room).mean(axis=0) * scale
    for size in SIZES:
        shape = np.array([max(round(length * scale * size), 1) for length in thing.shape])
        small = cv2.resize(thing, shape[::-1].tolist(), interpolation=cv2.INTER_AREA)
        inside = cv2.matchTemplate(free, small, cv2.TM_CCORR)  # how much of the thing, by place
        enough = inside >= (1 - SPILL) * small.sum()
        if enough.any():
            break
    else:
        enough = inside >= inside.max() * (1 - SPILL)
    centres = np.argwhere(enough) + shape / 2
    row, column = centres[((centres - middle) ** 2).sum(axis=1).argmin()] / scale
    return float(size), (float(row), float(column))


def _as_drawn(picture: Floats, hole: Mask) -> tuple[Floats, Mask]:
    """The ground as the model went on with it inside the hole, and where it is seen for certain.

    Models give it a tint. The rim of the hole shows it; from there it is spread inward.
    """
    wide = 2 * round(len(picture) * RIM) + 1
    inner = cv2.erode(hole.astype(np.uint8), np.ones((wide, wide), np.uint8), borderValue=1) > 0
    rim = hole & ~inner
    plain = ground(len(picture))
    if not rim.any():
        return plain, rim
    middle = np.median(picture[rim], axis=0)
    bare: Mask = rim & (difference(picture - middle) < LIKE)
    if bare.sum() < SEEN * rim.sum() or difference(middle - GREY) > FAR:
        return plain, np.zeros_like(hole)
    return push_pull(picture, bare.astype(np.float32)), bare


def _thing(picture: Floats, hole: Mask, behind: Floats, bare: Mask) -> Mask | None:
    """What is no ground, without specks; None if there is nothing.

    GrabCut begins with what differs from the ground. Parts inside a
    thing that it takes for ground are the thing's, but for openings, such as a ring's.
    """
    distance = difference(cv2.GaussianBlur(picture - behind, (0, 0), 0.75))
    unlike = distance > THING
    labels = np.where(hole, cv2.GC_PR_BGD, cv2.GC_BGD).astype(np.uint8)
    labels[bare] = cv2.GC_BGD
    labels[unlike & hole & ~bare] = cv2.GC_PR_FGD
    if (labels == cv2.GC_PR_FGD).sum() < LEAST:
        return None
    drawn = to_bytes(np.where(hole[..., None], picture, behind))
    cut = grab(drawn, labels, 2)
    thing = filled(cut.astype(np.uint8))
    return None if thing is None else thing & ~_openings(thing & ~cut, distance, thing.sum())


def _openings(inside: Mask, distance: Floats, size: float) -> Mask:
    """What shows the bare ground of what was taken for ground ``inside`` a thing of ``size``."""
    count, parts, stats, _ = cv2.connectedComponentsWithStats(inside.astype(np.uint8))
    large = [
        part
        for part in range(1, count)
        if stats[part, cv2.CC_STAT_AREA] >= OPENING * size and distance[parts == part].mean() < BARE
    ]
    return np.isin(parts, large)


def grab(picture: RGB, labels: NDArray[np.uint8], steps: int) -> Mask:
    """What of a picture (h, w, 3) is foreground, by GrabCut (Rother et al. 2004).

    ``labels`` (h, w) are OpenCV's, and are brought up to date in place.
    """
    cv2.setRNGSeed(0)  # its colour clusters begin at random
    colours = np.zeros((1, 65)), np.zeros((1, 65))  # of what is behind, of the thing
    cv2.grabCut(picture, labels, (0, 0, 1, 1), *colours, steps, cv2.GC_INIT_WITH_MASK)  # no rect
    thing: Mask = labels == cv2.GC_PR_FGD
    return thing


def filled(cut: NDArray[np.uint8]) -> Mask | None:
    """What was cut out, (S, S) of 0 and 1, without specks and holes; None if there is too little.
    """
    count, parts, stats, _ = cv2.connectedComponentsWithStats(cut, connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    if count < 2 or areas.sum() < LEAST:
        return None
    large = 1 + np.flatnonzero(areas >= SPECK * areas.sum())
    outlines, _ = cv2.findContours(
        np.isin(parts, large).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    whole: Mask = cv2.drawContours(np.zeros_like(cut), outlines, -1, 1, cv2.FILLED) > 0
    return whole


def _core(whole: NDArray[np.uint8], width: int) -> Mask:
    """What of a thing is farther than ``width`` from its edge; all of what is too thin for that."""
    core = cv2.erode(whole, _disc(width), borderValue=0)
    thin: Mask = (whole > 0) & (cv2.dilate(core, _disc(2 * width)) == 0)
    return (core > 0) | thin


def _disc(radius: int) -> NDArray[np.uint8]:
    size = (2 * radius + 1, 2 * radius + 1)
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, size).astype(np.uint8)


def difference(apart: Floats) -> Floats:
    """How much colours (..., 3) differ that are so far ``apart``: the root mean square."""
    found: Floats = np.sqrt((apart**2).mean(axis=-1))
    return found


def scaled(mask: Mask, side: int) -> Mask:
    """A mask (S, S) at another side, by its nearest pixels."""
    found = cv2.resize(mask.astype(np.uint8), (side, side), interpolation=cv2.INTER_NEAREST)
    return found.astype(bool)
