"""Picture <-> model square: what the model sees, and how what it made goes back.

A canvas is an RGB array (H, W, 3) uint8, a mask (H, W) bool, True = regenerate. Boxes are
(left, top, right, bottom) in canvas pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.backdrop import shares
from engine.blending import colour_shift, correction
from engine.fill import Floats, fill_hole
from engine.grain import grain as grain_of
from engine.pixels import RGB, Box, Mask, to_bytes
from engine.windows import Window

LARGEST_GRAIN = 2048  # side in pixels at which texture is made at most, for time and memory
TOUCHED = 1 / 512  # masked share from which a model pixel counts as masked


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


def _share(mask: Mask, window: Window, side: int) -> Floats:
    """The masked share of every model pixel, (side, side) float32."""
    share: Floats = _cut(mask, window).astype(np.float32)
    if side > share.shape[0]:
        enlarged: Floats = cv2.resize(share, (side, side), interpolation=cv2.INTER_LINEAR)
        return enlarged
    return _resize(share, side)


@dataclass(frozen=True)
class Frame:
    """What the model sees: ``pixels`` (side, side, 3) float32 in 0..255 and ``mask`` (side, side)
    float32, the masked share of every pixel.

    ``hidden`` (side, side) bool is what the model shall not believe although this edit leaves it
    as it is, such as the place of a region that is to be painted next.
    """

    window: Window
    pixels: Floats
    mask: Floats
    hidden: Mask | None = field(default=None)

    @classmethod
    def cut(
        cls, canvas: RGB, mask: Mask, window: Window, side: int, hidden: Mask | None = None
    ) -> Frame:
        """The window of a canvas, resized to the model's side; masks are those of the canvas."""
        pixels = _resize(_cut(canvas, window).astype(np.float32), side)
        unseen = None
        if hidden is not None and hidden.any():
            unseen = _share(hidden, window, side) > TOUCHED
        return cls(window, np.clip(pixels, 0, 255), _share(mask, window, side), unseen)

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

    def composite(
        self,
        canvas: RGB,
        mask: Mask,
        picture: Floats,
        *,
        blend: str = "membrane",
        match_colour: bool = False,
        grow: int = 0,
        feather: int = 0,
        edge: Mask | None = None,
        grain: float = 0.0,
        behind: RGB | None = None,
    ) -> None:
        """Put the model's ``picture`` (side, side, 3; 0..255) under the mask, into ``canvas``.

        Pixels outside ``mask`` are not written. ``match_colour`` first takes out the colour shift
        on the hole's known rim, ``blend`` then corrects the rest near it (`engine.blending`),
        carrying no colours from the first ``grow`` model pixels around the hole. ``feather`` fades
        the edit in over so many canvas pixels, inward from the edge of ``edge`` (the whole mask,
        where ``mask`` is a part of it). ``grain`` is how much of the known area's texture is laid
        over it (`engine.grain`); less as the known area is smaller than the hole, of which it says
        the less then. ``behind`` is a canvas that shows where nothing is drawn before
        it (`engine.backdrop`).
        """
        height, width = mask.shape
        left, top, right, bottom = self.window.clip(width, height)
        part = mask[top:bottom, left:right]
        if not part.any():
            return
        known, trusted = ~self.hole, ~self.grown(grow).hole
        if match_colour and trusted.any():
            picture = picture + colour_shift(self.pixels - picture, trusted)
        if blend != "none":
            picture = picture + correction(self.pixels, picture, known, blend, trusted)
        full = _resize(np.ascontiguousarray(picture, np.float32), self.window.side)
        if grain > 0:
            grain *= min(float(known.sum()) / max(int((~known).sum()), 1), 1.0)
            full = full + grain * self._grain(_cut(canvas, self.window), full, trusted, ~known)
        if behind is not None and known.any():
            there = _cut(behind, self.window).astype(np.float32)
            share = shares(picture, _resize(there, picture.shape[0]), ~known)
            full = full + _resize(share, self.window.side)[..., None].clip(0, 1) * (there - full)
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


    def _grain(self, canvas: RGB, picture: Floats, known: Mask, hole: Mask) -> Floats:
        """The texture to add to a picture of the window's size; masks are of the model's."""
        side = min(self.window.side, LARGEST_GRAIN)

        def scaled(mask: Mask) -> Mask:
            size = (side, side)
            grown = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
            return grown.astype(bool)

        there = _resize(canvas.astype(np.float32), side)
        texture = grain_of(there, _resize(picture, side), scaled(known), scaled(hole))
        return _resize(texture, self.window.side)


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
