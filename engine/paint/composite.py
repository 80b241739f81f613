"""A drawn picture goes back: scaled to the canvas, blended, faded in, under its mask only.

All of it is made in strips, so that a window far larger than the canvas, or a canvas far larger
than the memory has room for twice, is painted like any other. Boxes are in canvas pixels.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from engine.arrays import RGB, Box, Floats, Mask, to_bytes
from engine.frames.frame import TOUCHED, Frame, resized, share_of, square_of
from engine.frames.scaling import enlarged
from engine.paint.backdrop import shares
from engine.paint.blending import correction
from engine.paint.distance import depth_in
from engine.paint.studio import cut_out, fitted
from engine.plan.rules import Finish

STRIP = 1 << 20  # pixels that are made at once


def composite(
    canvas: RGB,
    mask: Mask,
    seen: Frame,
    picture: Floats,
    finish: Finish,
    *,
    rim: int = 0,
    edge: Mask | None = None,
    behind: RGB | None = None,
) -> bool:
    """Put the model's ``picture`` (side, side, 3; 0..255) under the mask, into ``canvas``.

    Pixels outside ``mask`` are not written. Blending carries no colours from the first ``rim``
    model pixels around the hole. An edit fades in from the edge of ``edge`` (the whole mask, where
    ``mask`` is a part of it). ``behind`` is a canvas that shows where nothing is drawn before it
    (`engine.paint.backdrop`). In a studio it is all that shows around the thing, which keeps its
    own colours and surface: there is nothing to blend. Returns False if nothing could be cut out
    there.
    """
    left, top, right, bottom = seen.box
    if not mask[top:bottom, left:right].any():
        return True
    side = len(picture)
    known, trusted = ~seen.hole, ~seen.grown(rim).hole
    share, drawn = None, True
    if seen.studio:
        assert behind is not None, "a studio needs something to show around the thing"
        picture, alpha = fitted(*cut_out(picture, seen.hole), _room(mask, seen, side))
        share, drawn = 1 - alpha, bool(alpha.any())
    else:
        if finish.blend != "none":
            picture = picture + correction(seen.pixels, picture, known, trusted)
        if behind is not None and known.any():
            share = shares(picture, square_of(behind, seen.window, side), ~known)
    picture = np.ascontiguousarray(picture, np.float32)
    for box in _strips(mask, seen):
        full = _part(picture, seen, box)
        left, top, right, bottom = box
        if share is not None and behind is not None:
            shown = _part(share, seen, box)[..., None].clip(0, 1)
            full = full + shown * (behind[top:bottom, left:right].astype(np.float32) - full)
        part = mask[top:bottom, left:right]
        target = canvas[top:bottom, left:right]
        if finish.feather > 0:
            alpha = fade_in(mask if edge is None else edge, box, finish.feather)[part][:, None]
            target[part] = to_bytes(target[part] * (1 - alpha) + full[part] * alpha)
        else:
            target[part] = to_bytes(full[part])
    return drawn


def _strips(mask: Mask, seen: Frame) -> Iterator[Box]:
    """What of the frame's window is masked, in boxes of at most ``STRIP`` pixels or one row."""
    left, top, right, bottom = seen.box
    x, y, width, height = cv2.boundingRect(mask[top:bottom, left:right].view(np.uint8))
    left, right, top, bottom = left + x, left + x + width, top + y, top + y + height
    step = max(STRIP // width, 1)
    for begin in range(top, bottom, step):
        end = min(begin + step, bottom)
        if mask[begin:end, left:right].any():
            yield left, begin, right, end


def _part(square: Floats, seen: Frame, box: Box) -> Floats:
    """What of a square (S, S) or (S, S, C) lies in a box of the canvas, at its resolution."""
    left, top, right, bottom = box
    window = seen.window
    rows = range(top - window.top, bottom - window.top)
    columns = range(left - window.left, right - window.left)
    if window.side <= len(square):
        return resized(square, window.side)[rows.start : rows.stop, columns.start : columns.stop]
    return enlarged(square, window.side, rows, columns)


def _room(mask: Mask, seen: Frame, side: int) -> Mask:
    """Where a mask has room for a thing, (side, side): wholly masked, and on the canvas."""
    window = seen.window
    room: Mask = share_of(mask, window, side) > 1 - TOUCHED
    corner = (window.left, window.top) * 2
    left, top, right, bottom = (
        round((edge - begin) * side / window.side)
        for edge, begin in zip(seen.box, corner, strict=True)
    )
    canvas = np.zeros_like(room)
    canvas[top:bottom, left:right] = True
    return room & canvas


def fade_in(mask: Mask, box: Box, feather: int) -> Floats:
    """Weight of the edit in ``box``: 0 outside the mask, rising to 1 over ``feather`` pixels."""
    left, top, right, bottom = box
    height, width = mask.shape
    pad = feather + 1
    y0, x0 = max(top - pad, 0), max(left - pad, 0)
    around = mask[y0 : min(bottom + pad, height), x0 : min(right + pad, width)]
    distance = depth_in(around)
    if around.all():
        distance = np.full(around.shape, feather + 1, np.float32)
    weight: Floats = np.clip(distance / (feather + 1), 0, 1)
    return weight[top - y0 : bottom - y0, left - x0 : right - x0]
