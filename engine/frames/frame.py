"""What the model sees: a square of the canvas at the model's side, with what is to be drawn in it.

A canvas is an RGB array (H, W, 3) uint8, a mask (H, W) bool, True = regenerate.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.arrays import RGB, Box, Floats, Mask, Window
from engine.frames.fill import fill_hole
from engine.frames.scaling import shrunk

LARGEST_WHOLE = 4096  # side of a window up to which it is made whole, mirror and all
TOUCHED = 1 / 512  # masked share from which a model pixel counts as masked


def _mirror(begin: int, end: int, limit: int) -> NDArray[np.int64]:
    """Indices begin..end of an axis of ``limit`` pixels, mirrored at its ends."""
    index = np.arange(begin, end) % (2 * limit)
    return np.where(index < limit, index, 2 * limit - 1 - index)


def _wholly_on(array: NDArray[Any], window: Window) -> bool:
    """Whether a window reaches nowhere beyond an (H, W, ...) array."""
    right, bottom = window.left + window.side, window.top + window.side
    inside = right <= array.shape[1] and bottom <= array.shape[0]
    return inside and min(window.left, window.top) >= 0


def _cut(array: NDArray[Any], window: Window) -> NDArray[Any]:
    """The window's part of an (H, W, ...) array, mirrored where it reaches beyond."""
    right, bottom = window.left + window.side, window.top + window.side
    if _wholly_on(array, window):
        return array[window.top : bottom, window.left : right]
    height, width = array.shape[:2]
    rows = _mirror(window.top, bottom, height)
    columns = _mirror(window.left, right, width)
    return array[rows[:, None], columns[None]]


def resized(array: Floats, side: int) -> Floats:
    """A square array scaled to another side: by area down, bicubic up."""
    if array.shape[0] == side:
        return array
    down = side < array.shape[0]
    method = cv2.INTER_AREA if down else cv2.INTER_CUBIC
    scaled: Floats = cv2.resize(array, (side, side), interpolation=method)
    return scaled


def _beyond(window: Window, array: NDArray[Any], side: int) -> bool:
    """Whether a window is too large for what it has of the canvas to be made whole, mirror and all.

    ``side`` is that of the square it is scaled to.
    """
    return window.side > max(LARGEST_WHOLE, side) and not _wholly_on(array, window)


def square_of(array: NDArray[Any], window: Window, side: int) -> Floats:
    """The window's part of an array as a square of ``side``, float32."""
    if _beyond(window, array, side):
        return shrunk(array, window, side)
    return resized(_cut(array, window).astype(np.float32), side)


def share_of(mask: Mask, window: Window, side: int) -> Floats:
    """The masked share of every model pixel, (side, side) float32."""
    if _beyond(window, mask, side):
        return shrunk(mask, window, side)
    share: Floats = _cut(mask, window).astype(np.float32)
    if side > share.shape[0]:
        enlarged: Floats = cv2.resize(share, (side, side), interpolation=cv2.INTER_LINEAR)
        return enlarged
    return resized(share, side)


@dataclass(frozen=True)
class Frame:
    """What the model sees: ``pixels`` (side, side, 3) float32 in 0..255 and ``mask`` (side, side)
    float32, the masked share of every pixel. ``box`` is the part of the ``window`` that lies on
    the canvas.

    ``hidden`` (side, side) bool is what the model shall not believe although this edit leaves it
    as it is, such as the place of a region that is to be painted next. In a ``studio`` the model
    sees a plain ground instead of the canvas (`engine.paint.studio`).
    """

    window: Window
    box: Box
    pixels: Floats
    mask: Floats
    hidden: Mask | None = field(default=None)
    studio: bool = False

    @classmethod
    def cut(
        cls, canvas: RGB, mask: Mask, window: Window, side: int, hidden: Mask | None = None
    ) -> Frame:
        """The window of a canvas, resized to the model's side; masks are those of the canvas."""
        box = window.within(canvas.shape[1], canvas.shape[0])
        pixels = square_of(canvas, window, side)
        unseen = None
        if hidden is not None and hidden.any():
            unseen = share_of(hidden, window, side) > TOUCHED
        return cls(window, box, np.clip(pixels, 0, 255), share_of(mask, window, side), unseen)

    def reduced(self, side: int) -> Frame:
        """The same at another, smaller side."""
        if side >= len(self.mask):
            return self
        hidden = self.hidden
        if hidden is not None:
            hidden = resized(hidden.astype(np.float32), side) > TOUCHED
        pixels, mask = resized(self.pixels, side), resized(self.mask, side)
        return replace(self, pixels=pixels, mask=mask, hidden=hidden)

    @property
    def hole(self) -> Mask:
        """Model pixels that hold anything masked or hidden."""
        hole: Mask = self.mask > TOUCHED
        return hole if self.hidden is None else hole | self.hidden

    def grown(self, width: int) -> Frame:
        """The frame with a rim of ``width`` model pixels around its hole hidden as well.

        A mask drawn tight around an object leaves its blurred edge and its shadow outside.
        """
        if width == 0:
            return self
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * width + 1, 2 * width + 1))
        wide = cv2.dilate(self.hole.astype(np.uint8), disc).astype(bool)
        return self if wide.all() else replace(self, hidden=wide)

    def filled(self, method: str) -> Frame:
        """The frame with its hole filled by a classical method, so that nothing leaks from it."""
        if method == "none":
            return self
        return replace(self, pixels=fill_hole(self.pixels, self.hole, method))
