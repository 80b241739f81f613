"""Picture <-> model square: where the frame sits, what the model sees, and how it goes back.

A canvas is an RGB array (H, W, 3) uint8, a mask (H, W) bool, True = regenerate. Boxes are
(left, top, right, bottom) in canvas pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.errors import MaskError
from engine.pixels import RGB, Box, Mask, to_bytes

Floats = NDArray[Any]

CONTEXT_FACTOR = 2.0  # "auto": the frame's side as a multiple of the mask's longer side
RIM = 12  # width in model pixels of the known rim whose colours the membrane carries inward
MEMBRANE_REACH = 0.35  # distance, as a part of the frame, at which the membrane has faded to 1/e
ONE_FRAME_GROWTH = 1.6  # an extension up to this factor is made in one frame ...
ONE_FRAME_ASPECT = 0.8  # ... if the canvas is at least this square


@dataclass(frozen=True)
class Window:
    """A square on the canvas; it may reach beyond the canvas."""

    left: int
    top: int
    side: int

    def clip(self, width: int, height: int) -> Box:
        """The part of the square that lies on the canvas."""
        return (
            max(self.left, 0),
            max(self.top, 0),
            min(self.left + self.side, width),
            min(self.top + self.side, height),
        )


def bounding_box(mask: Mask) -> Box:
    """The smallest box around what is masked; MaskError if nothing is."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if not columns.size:
        raise MaskError("the mask is empty; paint over the part that is to be regenerated")
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def place_window(
    box: Box, width: int, height: int, *, side: int, context: int | str = "auto"
) -> Window:
    """The square that the model sees for an edit of ``box``, on a canvas width x height.

    ``side`` is the model's. "auto" takes twice the box's longer side, at least ``side`` pixels
    where the canvas has them, at most the canvas; "whole" the canvas's longer side; a number, so
    many pixels around the box. The square is moved onto the canvas as far as it fits.
    """
    left, top, right, bottom = box
    longest = max(right - left, bottom - top)
    if context == "whole":
        size = max(width, height)
    elif context == "auto":
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


def _mirror(begin: int, end: int, limit: int) -> NDArray[np.int64]:
    """Indices begin..end of an axis of ``limit`` pixels, mirrored at its ends as often as needed."""
    index = np.arange(begin, end) % (2 * limit)
    return np.where(index < limit, index, 2 * limit - 1 - index)


def _cut(array: NDArray[Any], window: Window) -> NDArray[Any]:
    """The window's part of an (H, W, ...) array, mirrored where it reaches beyond."""
    height, width = array.shape[:2]
    left, top, right, bottom = window.clip(width, height)
    if (right - left, bottom - top) == (window.side, window.side):
        return array[top:bottom, left:right]
    rows = _mirror(window.top, window.top + window.side, height)
    columns = _mirror(window.left, window.left + window.side, width)
    return array[rows[:, None], columns[None]]


def _resize(array: Floats, side: int) -> Floats:
    """A square array scaled to another side: by area down, bicubic up."""
    if array.shape[0] == side:
        return array
    down = side < array.shape[0]
    method = cv2.INTER_AREA if down else cv2.INTER_CUBIC
    resized: Floats = cv2.resize(array, (side, side), interpolation=method)
    return resized


@dataclass(frozen=True)
class Frame:
    """What the model sees: ``pixels`` (side, side, 3) float32 in 0..255 and ``mask`` (side, side)
    float32, the masked share of every pixel."""

    window: Window
    pixels: Floats
    mask: Floats

    @classmethod
    def cut(cls, canvas: RGB, mask: Mask, window: Window, side: int) -> Frame:
        """The window of a canvas, resized to the model's side."""
        pixels = _resize(_cut(canvas, window).astype(np.float32), side)
        share = _cut(mask, window).astype(np.float32)
        if side > share.shape[0]:
            share = cv2.resize(share, (side, side), interpolation=cv2.INTER_LINEAR)
        else:
            share = _resize(share, side)
        return cls(window, np.clip(pixels, 0, 255), share)

    @property
    def hole(self) -> Mask:
        """Model pixels that hold anything masked."""
        return self.mask > 1 / 512

    def filled(self, method: str) -> Frame:
        """The frame with its hole filled by a classical method, so that nothing leaks from it."""
        if method == "none":
            return self
        return Frame(self.window, fill_hole(self.pixels, self.hole, method), self.mask)

    def composite(
        self, canvas: RGB, mask: Mask, picture: Floats, *, blend: str = "membrane", feather: int = 0
    ) -> None:
        """Put the model's ``picture`` (side, side, 3; 0..255) under the mask, into ``canvas``.

        Pixels outside ``mask`` are not written. ``feather`` fades the edit in over so many canvas
        pixels, inward from the mask's edge.
        """
        height, width = mask.shape
        left, top, right, bottom = self.window.clip(width, height)
        part = mask[top:bottom, left:right]
        if not part.any():
            return
        if blend == "membrane":
            picture = picture + membrane(self.pixels - picture, ~self.hole)
        full = _resize(np.ascontiguousarray(picture, np.float32), self.window.side)
        full = full[
            top - self.window.top : bottom - self.window.top,
            left - self.window.left : right - self.window.left,
        ]
        target = canvas[top:bottom, left:right]
        if feather > 0:
            alpha = fade_in(mask, (left, top, right, bottom), feather)[part][:, None]
            target[part] = to_bytes(target[part] * (1 - alpha) + full[part] * alpha)
        else:
            target[part] = to_bytes(full[part])


def fade_in(mask: Mask, box: Box, feather: int) -> Floats:
    """Weight of the edit in ``box``: 0 outside the mask, rising to 1 over ``feather`` pixels."""
    left, top, right, bottom = box
    height, width = mask.shape
    pad = feather + 1
    y0, x0 = max(top - pad, 0), max(left - pad, 0)
    around = mask[y0 : min(bottom + pad, height), x0 : min(right + pad, width)]
    distance = cv2.distanceTransform(around.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    if around.all():
        distance = np.full(around.shape, feather + 1, np.float32)
    weight: Floats = np.clip(distance / (feather + 1), 0, 1)
    return weight[top - y0 : bottom - y0, left - x0 : right - x0]


def fill_hole(pixels: Floats, hole: Mask, method: str) -> Floats:
    """Fill ``hole`` of an (S, S, 3) picture: telea, navier_stokes (OpenCV), push_pull or mean."""
    if hole.all():
        return np.full_like(pixels, 127.5)
    if method in ("telea", "navier_stokes"):
        flag = cv2.INPAINT_TELEA if method == "telea" else cv2.INPAINT_NS
        flat = cv2.inpaint(to_bytes(pixels), hole.astype(np.uint8), 3, flag).astype(np.float32)
        return np.where(hole[..., None], flat, pixels)
    if method == "mean":
        return np.where(hole[..., None], pixels[~hole].mean(axis=0), pixels).astype(np.float32)
    smooth = push_pull(pixels, (~hole).astype(np.float32))
    return np.where(hole[..., None], smooth, pixels)


def push_pull(values: Floats, weight: Floats) -> Floats:
    """Spread weighted values (S, S, C) smoothly over the whole square (Gortler et al. 1996, 3.4).

    Averages are pushed up a pyramid until every cell knows something, then pulled down again
    wherever the finer level has too little weight of its own.
    """
    side = values.shape[0]
    if side == 1 or float(weight.min()) >= 1:
        return values
    half = (side + 1) // 2
    size = (half, half)
    total = cv2.resize(weight, size, interpolation=cv2.INTER_AREA)
    mixed = cv2.resize(values * weight[..., None], size, interpolation=cv2.INTER_AREA)
    mixed = mixed.reshape(half, half, -1)
    average = mixed / np.maximum(total, 1e-8)[..., None]
    coarse = push_pull(average, np.minimum(total * 4, 1))
    finer = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_LINEAR)
    finer = finer.reshape(side, side, -1)
    own = weight[..., None]
    return values * own + finer * (1 - own)


def membrane(difference: Floats, known: Mask) -> Floats:
    """The correction that makes a generated hole meet its rim (after Perez et al. 2003, eq. 8).

    ``difference`` (S, S, 3) is the picture minus the model's output where it is known. Its values
    along the rim are spread over the hole and fade with the distance from it. Zero where known.
    """
    if known.all() or not known.any():
        return np.zeros_like(difference)
    side = known.shape[0]
    outward = cv2.distanceTransform(known.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    inward = cv2.distanceTransform((~known).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    weight = np.where(known, np.exp(-outward * (3 / RIM)), 0).astype(np.float32)
    spread = push_pull(difference.astype(np.float32), weight)
    fade = np.exp(-inward / (MEMBRANE_REACH * side))[..., None]
    return np.where(known[..., None], 0, spread * fade).astype(np.float32)


def march(known: Box, canvas: tuple[int, int], *, side: int) -> Iterator[Window]:
    """Windows that extend ``known`` to the whole canvas (width, height), in order.

    The strips left and right are filled first, each outward from the known part, then top and
    bottom over the whole width. Neighbouring frames overlap by half, so that every frame sees what
    was there before. A canvas that is nearly square and not much larger takes one frame.
    """
    width, height = canvas
    left, top, right, bottom = known
    longest, shortest = max(width, height), min(width, height)
    size = max(min(right - left, bottom - top), min(side, shortest))
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
