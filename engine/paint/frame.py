"""Picture <-> model square: what the model sees, and how what it made goes back.

A canvas is an RGB array (H, W, 3) uint8, a mask (H, W) bool, True = regenerate. Boxes are
(left, top, right, bottom) in canvas pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.arrays import RGB, Box, Floats, Mask, Window, bounding_box, to_bytes
from engine.paint.backdrop import shares
from engine.paint.blending import colour_shift, correction
from engine.paint.grain import grain as grain_of
from engine.paint.studio import cut_out, fitted, ground, middle_hole, scaled
from engine.picture.fill import fill_hole
from engine.picture.scaling import enlarged, redrawn, shrunk

LARGEST_WHOLE = 4096  # side of a window up to which it is made whole, mirror and all
STRIP = 1 << 20  # pixels that are made at once where it is not
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


def _beyond(window: Window, array: NDArray[Any], side: int) -> bool:
    """Whether a window is too large for what it has of the canvas to be made whole, mirror and all.

    ``side`` is that of the square it is scaled to.
    """
    if window.side <= max(LARGEST_WHOLE, side):
        return False
    left, top, right, bottom = window.clip(array.shape[1], array.shape[0])
    return (right - left) * (bottom - top) < window.side**2


def _square(array: NDArray[Any], window: Window, side: int) -> Floats:
    """The window's part of an array as a square of ``side``, float32."""
    if _beyond(window, array, side):
        return shrunk(array, window, side)
    return _resize(_cut(array, window).astype(np.float32), side)


def _share(mask: Mask, window: Window, side: int) -> Floats:
    """The masked share of every model pixel, (side, side) float32."""
    if _beyond(window, mask, side):
        return shrunk(mask, window, side)
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
    as it is, such as the place of a region that is to be painted next. In a ``studio`` the model
    sees a plain ground instead of the canvas (`engine.paint.studio`).
    """

    window: Window
    pixels: Floats
    mask: Floats
    hidden: Mask | None = field(default=None)
    studio: bool = False

    @classmethod
    def cut(
        cls, canvas: RGB, mask: Mask, window: Window, side: int, hidden: Mask | None = None
    ) -> Frame:
        """The window of a canvas, resized to the model's side; masks are those of the canvas."""
        pixels = _square(canvas, window, side)
        unseen = None
        if hidden is not None and hidden.any():
            unseen = _share(hidden, window, side) > TOUCHED
        return cls(window, np.clip(pixels, 0, 255), _share(mask, window, side), unseen)

    @property
    def hole(self) -> Mask:
        """Model pixels that hold anything masked or hidden."""
        hole: Mask = self.mask > TOUCHED
        return hole if self.hidden is None else hole | self.hidden

    def staged(self) -> Frame:
        """A plain ground with a hole in its middle, in the place of all that the canvas shows."""
        side = len(self.pixels)
        return replace(
            self, pixels=ground(side), mask=middle_hole(side), hidden=None, studio=True
        )

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
    ) -> bool:
        """Put the model's ``picture`` (side, side, 3; 0..255) under the mask, into ``canvas``.

        Pixels outside ``mask`` are not written. ``match_colour`` first takes out the colour shift
        on the hole's known rim, ``blend`` then corrects the rest near it (`engine.paint.blending`),
        carrying no colours from the first ``grow`` model pixels around the hole. ``feather`` fades
        the edit in over so many canvas pixels, inward from the edge of ``edge`` (the whole mask,
        where ``mask`` is a part of it). ``grain`` is how much of the known area's texture is laid
        over it (`engine.paint.grain`); less as the known area is smaller than the hole, of which it
        says the less then. ``behind`` is a canvas that shows where nothing is drawn before it
        (`engine.paint.backdrop`). In a studio it is all that shows around the thing, which keeps
        its own colours and surface: there is nothing to match, to blend or to take grain from.
        Returns False if nothing could be cut out there.
        """
        height, width = mask.shape
        left, top, right, bottom = self.window.clip(width, height)
        part = mask[top:bottom, left:right]
        if not part.any():
            return True
        known, trusted = ~self.hole, ~self.grown(grow).hole
        share, drawn = None, True
        if self.studio:
            assert behind is not None, "a studio needs something to show around the thing"
            room = self._room(mask, len(picture))
            picture, alpha = fitted(*cut_out(picture, self.hole), room)
            share, drawn, grain = 1 - alpha, bool(alpha.any()), 0.0
        else:
            if match_colour and trusted.any():
                picture = picture + colour_shift(self.pixels - picture, trusted)
            if blend != "none":
                picture = picture + correction(self.pixels, picture, known, blend, trusted)
            if behind is not None and known.any():
                share = shares(picture, _square(behind, self.window, len(picture)), ~known)
        picture = np.ascontiguousarray(picture, np.float32)
        if grain > 0:
            grain *= min(float(known.sum()) / max(int((~known).sum()), 1), 1.0)
        make = self._in_strips if _beyond(self.window, mask, len(picture)) else self._whole
        pieces = make(
            canvas, mask, picture, grain=grain, trusted=trusted, behind=behind, share=share
        )
        for (left, top, right, bottom), full in pieces:
            part = mask[top:bottom, left:right]
            target = canvas[top:bottom, left:right]
            if feather > 0:
                whole = mask if edge is None else edge
                alpha = fade_in(whole, (left, top, right, bottom), feather)[part][:, None]
                target[part] = to_bytes(target[part] * (1 - alpha) + full[part] * alpha)
            else:
                target[part] = to_bytes(full[part])
        return drawn

    def _room(self, mask: Mask, side: int) -> Mask:
        """Where a mask has room for a thing, (side, side): wholly masked, and on the canvas."""
        room: Mask = _share(mask, self.window, side) > 1 - TOUCHED
        box = self.window.clip(mask.shape[1], mask.shape[0])
        corner = (self.window.left, self.window.top) * 2
        left, top, right, bottom = (
            round((edge - begin) * side / self.window.side)
            for edge, begin in zip(box, corner, strict=True)
        )
        canvas = np.zeros_like(room)
        canvas[top:bottom, left:right] = True
        return room & canvas

    def _whole(
        self,
        canvas: RGB,
        mask: Mask,
        picture: Floats,
        *,
        grain: float,
        trusted: Mask,
        behind: RGB | None,
        share: Floats | None,
    ) -> Iterator[tuple[Box, Floats]]:
        """What is painted at the canvas's resolution, with its box on the canvas: in one piece."""
        window = self.window
        full = _resize(picture, window.side)
        if grain > 0:
            drawn = _resize(full, self._grain_side)
            texture = self._texture(canvas, drawn, trusted)
            full = full + grain * _resize(texture, window.side)
        if share is not None and behind is not None:
            there = _cut(behind, window).astype(np.float32)
            full = full + _resize(share, window.side)[..., None].clip(0, 1) * (there - full)
        left, top, right, bottom = window.clip(mask.shape[1], mask.shape[0])
        rows = slice(top - window.top, bottom - window.top)
        yield (left, top, right, bottom), full[rows, left - window.left : right - window.left]

    def _in_strips(
        self,
        canvas: RGB,
        mask: Mask,
        picture: Floats,
        *,
        grain: float,
        trusted: Mask,
        behind: RGB | None,
        share: Floats | None,
    ) -> Iterator[tuple[Box, Floats]]:
        """The same to a rounding, strip by strip where anything is masked: the window is far
        larger than what it has of the canvas."""
        window = self.window
        texture = None
        if grain > 0:
            drawn = redrawn(picture, window.side, self._grain_side)
            texture = self._texture(canvas, drawn, trusted)
        left, top, right, bottom = window.clip(mask.shape[1], mask.shape[0])
        box = bounding_box(mask[top:bottom, left:right])
        assert box is not None
        x0, y0, x1, y1 = box
        left, right = left + x0, left + x1
        columns = range(left - window.left, right - window.left)
        step = max(STRIP // len(columns), 1)
        for begin in range(top + y0, top + y1, step):
            end = min(begin + step, top + y1)
            if not mask[begin:end, left:right].any():
                continue
            rows = range(begin - window.top, end - window.top)
            full = enlarged(picture, window.side, rows, columns)
            if texture is not None:
                full = full + grain * enlarged(texture, window.side, rows, columns)
            if share is not None and behind is not None:
                shown = enlarged(share, window.side, rows, columns)[..., None].clip(0, 1)
                full = full + shown * (behind[begin:end, left:right].astype(np.float32) - full)
            yield (left, begin, right, end), full

    @property
    def _grain_side(self) -> int:
        return min(self.window.side, LARGEST_GRAIN)

    def _texture(self, canvas: RGB, drawn: Floats, trusted: Mask) -> Floats:
        """What is to be added to a picture ``drawn`` at the grain's side; masks are the model's."""
        side = self._grain_side
        there = _square(canvas, self.window, side)
        return grain_of(there, drawn, scaled(trusted, side), scaled(self.hole, side))


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
