"""Picture <-> model square: what the model sees, and how what it made goes back.

A canvas is an RGB array (H, W, 3) uint8, a mask (H, W) bool, True = regenerate. Boxes are
(left, top, right, bottom) in canvas pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.fill import Floats, fill_hole, membrane
from engine.pixels import RGB, Box, Mask, to_bytes
from engine.windows import Window


def _mirror(begin: int, end: int, limit: int) -> NDArray[np.int64]:
    """Indices begin..end of an axis of ``limit`` pixels, mirrored at its ends."""
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
        share: Floats = _cut(mask, window).astype(np.float32)
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
        self,
        canvas: RGB,
        mask: Mask,
        picture: Floats,
        *,
        blend: str = "membrane",
        feather: int = 0,
        edge: Mask | None = None,
    ) -> None:
        """Put the model's ``picture`` (side, side, 3; 0..255) under the mask, into ``canvas``.

        Pixels outside ``mask`` are not written. ``feather`` fades the edit in over so many canvas
        pixels, inward from the edge of ``edge`` (the whole mask, where ``mask`` is a part of it).
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
            whole = mask if edge is None else edge
            alpha = fade_in(whole, (left, top, right, bottom), feather)[part][:, None]
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
