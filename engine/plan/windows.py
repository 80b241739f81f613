"""Where the model looks: the square around an edit, and the squares that extend a canvas.

A mask is (H, W) bool, True = regenerate. Boxes are (left, top, right, bottom) in canvas pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.arrays import Box, Mask, Window
from engine.errors import MaskError

CONTEXT_FACTOR = 2.0  # "auto": the frame's side as a multiple of the mask's longer side
OBJECT_SHARE = 0.8  # "auto", class edits: the mask's longer side as a part of the frame's ...
OBJECT_ROOM = 0.6  # ... or the shorter side as this part of it, if the mask still fits then ...
OBJECT_ZOOM = 4.0  # ... without enlarging the picture beyond this factor to get there
SHARED_GROWTH = 2.0  # parts of a mask share a frame that is larger by up to this factor
MAX_FRAMES = 6  # frames for the parts of one mask ...
MAX_PARTS = 24  # ... and parts beyond which one frame takes them all
ONE_FRAME_GROWTH = 1.6  # an extension up to this factor is made in one frame ...
ONE_FRAME_ASPECT = 0.8  # ... if the canvas is at least this square


def box_of(mask: Mask) -> Box:
    """The smallest box around what is masked; MaskError if nothing is."""
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    if not width:
        raise MaskError("the mask is empty; paint over the part that is to be regenerated")
    return left, top, left + width, top + height


def place_window(
    box: Box,
    width: int,
    height: int,
    *,
    side: int,
    context: int | str = "auto",
    filling: bool = False,
) -> Window:
    """The square that the model sees for an edit of ``box``, on a canvas width x height.

    ``side`` is the model's. "auto" takes twice the box's longer side, at least ``side`` pixels
    where the canvas has them, at most the canvas. ``filling`` is for objects drawn anew: the box
    takes 80 % of the square, so that an object of the size that models learn them in has room; an
    oblong box takes more, and a small box's surroundings are enlarged. "whole" takes the canvas's
    longer side; a number, so many pixels around the box. The square is moved onto the canvas as far
    as it fits; one that is ``filling`` stays around the middle of its box, where models draw.
    """
    left, top, right, bottom = box
    longest = max(right - left, bottom - top)
    if context == "whole":
        size = max(width, height)
    elif context == "auto":
        if filling:  # even beyond the canvas
            shortest = min(right - left, bottom - top)
            wanted = min(longest / OBJECT_SHARE, shortest / OBJECT_ROOM)
            size = max(round(wanted), round(side / OBJECT_ZOOM), longest)
            return Window(round((left + right - size) / 2), round((top + bottom - size) / 2), size)
        size = max(round(CONTEXT_FACTOR * longest), side)
        size = max(min(size, max(width, height)), longest)
        if longest <= min(width, height):  # prefer a square without padding
            size = min(size, min(width, height))
    else:
        size = min(longest + 2 * int(context), max(width, height))

    def place(low: int, high: int, limit: int) -> int:
        begin = round((low + high - size) / 2)
        if size >= limit:
            return -((size - limit) // 2)
        return min(max(begin, 0), limit - size)

    return Window(place(left, right, width), place(top, bottom, height), size)


def windows_for(
    mask: Mask, *, side: int, context: int | str = "auto", filling: bool = False
) -> list[Window]:
    """The squares for an edit: one, or several where parts of the mask lie far apart.

    Parts share a square unless that would make it much larger than what each needs, which would
    cost resolution. The order is that of reading; each square paints whole parts: two share one,
    too, if that of the first would cut the other.
    """
    height, width = mask.shape
    place = partial(
        place_window, width=width, height=height, side=side, context=context, filling=filling
    )
    around = box_of(mask)
    one = place(around)
    if context == "whole" or one.side <= side:
        return [one]
    painted = mask[around[1] : around[3], around[0] : around[2]].astype(np.uint8)
    _, found, stats, _ = cv2.connectedComponentsWithStats(painted, connectivity=8)
    left = around[0] + stats[1:, cv2.CC_STAT_LEFT]
    top = around[1] + stats[1:, cv2.CC_STAT_TOP]
    right = left + stats[1:, cv2.CC_STAT_WIDTH]
    bottom = top + stats[1:, cv2.CC_STAT_HEIGHT]
    if len(left) > MAX_PARTS:
        return [one]
    edges = np.stack([left, top, right, bottom], axis=1).tolist()
    parts: list[Box] = [(x0, y0, x1, y1) for x0, y0, x1, y1 in edges]
    groups = [_Group(box, (number,)) for number, box in enumerate(parts)]
    while len(groups) > 1:
        growth, i, j = min(
            (place(_union(a.box, b.box)).side / max(place(a.box).side, place(b.box).side), i, j)
            for i, a in enumerate(groups)
            for j, b in enumerate(groups)
            if i < j
        )
        if growth > SHARED_GROWTH and len(groups) <= MAX_FRAMES:
            groups.sort(key=lambda group: (group.box[1], group.box[0]))
            places = [place(group.box) for group in groups]
            numbers = np.zeros(mask.shape, found.dtype)
            numbers[around[1] : around[3], around[0] : around[2]] = found
            apart = _apart(places, groups, parts, numbers)
            if apart is None:
                break
            i, j = apart
        both = _Group(_union(groups[i].box, groups[j].box), groups[i].parts + groups[j].parts)
        groups = [group for k, group in enumerate(groups) if k not in (i, j)] + [both]
    groups.sort(key=lambda group: (group.box[1], group.box[0]))
    return _with_work((place(group.box) for group in groups), mask)


@dataclass(frozen=True)
class _Group:
    """Parts of a mask, by number, that share a square, and the box around them."""

    box: Box
    parts: tuple[int, ...]


def _apart(
    windows: list[Window], groups: list[_Group], parts: list[Box], numbers: NDArray[Any]
) -> tuple[int, int] | None:
    """The first square that would paint some of a part and not the rest, and the group of that
    part; None if there is none. ``numbers`` (H, W) says of each pixel in which part it is, from 1.
    """
    left_to_paint = {part: j for j, group in enumerate(groups) for part in group.parts}
    for i, window in enumerate(windows):
        left, top, right, bottom = window.within(numbers.shape[1], numbers.shape[0])
        for part, j in list(left_to_paint.items()):
            x0, y0, x1, y1 = parts[part]
            if left <= x0 and top <= y0 and x1 <= right and y1 <= bottom:
                del left_to_paint[part]
                continue
            seen = numbers[max(y0, top) : min(y1, bottom), max(x0, left) : min(x1, right)]
            if (seen == part + 1).any():
                return i, j
    return None


def _union(a: Box, b: Box) -> Box:
    return min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])


def march(known: Box, canvas: tuple[int, int], *, side: int) -> list[Window]:
    """Windows that extend ``known`` to the whole canvas (width, height), in order.

    The strips left and right are filled first, each outward from the known part, then top and
    bottom over the whole width. Neighbouring frames overlap by half, so that every frame sees what
    was there before. A canvas that is nearly square and not much larger takes one frame.
    """
    left, top, right, bottom = known
    unknown = np.ones((canvas[1], canvas[0]), bool)
    unknown[top:bottom, left:right] = False
    return _with_work(_strips(known, canvas, side), unknown)


def _with_work(windows: Iterable[Window], unknown: Mask) -> list[Window]:
    """The windows that have something to paint when their turn comes."""
    remaining = unknown.copy()
    needed = []
    for window in windows:
        left, top, right, bottom = window.within(remaining.shape[1], remaining.shape[0])
        if remaining[top:bottom, left:right].any():
            remaining[top:bottom, left:right] = False
            needed.append(window)
    return needed


def _strips(known: Box, canvas: tuple[int, int], side: int) -> Iterator[Window]:
    """Windows strip by strip; some may find everything done already."""
    width, height = canvas
    left, top, right, bottom = known
    longest, shortest = max(width, height), min(width, height)
    size = max(min(right - left, bottom - top), min(side, shortest), 2)
    if longest <= ONE_FRAME_GROWTH * size and shortest >= ONE_FRAME_ASPECT * longest:
        yield Window(-((longest - width) // 2), -((longest - height) // 2), longest)
        return
    step = max(size // 2, 1)

    def along(low: int, high: int) -> list[int]:
        """Window positions that cover low..high, from the middle outward, overlapping by half."""
        if high - low <= size:
            return [round((low + high - size) / 2)]
        count = -(-(high - low - size) // step) + 1
        places = [round(low + i * (high - low - size) / (count - 1)) for i in range(count)]
        middle = (low + high - size) / 2
        return sorted(places, key=lambda place: abs(place - middle))

    def inside(place: int, limit: int) -> int:
        return -((size - limit) // 2) if size >= limit else min(max(place, 0), limit - size)

    x = right
    while x < width:
        x = min(x + step, width)
        for y in along(top, bottom):
            yield Window(inside(x - size, width), y, size)
    x = left
    while x > 0:
        x = max(x - step, 0)
        for y in along(top, bottom):
            yield Window(inside(x, width), y, size)
    y = bottom
    while y < height:
        y = min(y + step, height)
        for x in along(0, width):
            yield Window(x if size < width else inside(x, width), inside(y - size, height), size)
    y = top
    while y > 0:
        y = max(y - step, 0)
        for x in along(0, width):
            yield Window(x if size < width else inside(x, width), inside(y, height), size)
