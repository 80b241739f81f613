"""Painting the original back: the source's own bytes where a brush went.

The source is the picture that was opened (or generated) and that the later ones were made from; an
extension has moved it by its margins.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.moments import Moment
from app.session import Session
from engine.errors import ImageError, MaskError
from engine.picture.depth import DEEP, Deep, deep_of
from engine.request import EditRequest

CAPTION = "Original painted back"


def original_of(session: Session) -> tuple[Moment, tuple[int, int]]:
    """The source of the current picture, and where its top left corner lies in it, in pixels.

    ImageError where nothing was edited yet, or where the sizes do not tell where it lies.
    """
    current = session.picture
    added = np.zeros(4, int)  # left, right, top, bottom
    at = session.at
    while at >= 0:
        moment = session.moments[at]
        request, before = moment.request, at - 1
        if request is not None and request.task == "outpaint":
            while before >= 0 and _extended(session.moments[before], request) != moment.size:
                before -= 1  # it was made from an earlier picture than the one before it
            if before < 0:
                break
            added += np.array(request.margins(*session.moments[before].size))
        made = request is not None and request.task != "generate"
        if made or moment.caption == CAPTION:
            at = before
            continue
        if at == session.at:
            raise ImageError("this is the original; there is nothing to paint back yet")
        width, height = moment.size
        left, right, top, bottom = (int(n) for n in added)
        if (width + left + right, height + top + bottom) != current.size:
            break
        return moment, (left, top)
    raise ImageError("the original is of another size than this picture; undo to get back to it")


def _extended(moment: Moment, request: EditRequest) -> tuple[int, int]:
    """The size of a picture once it is extended as a request says."""
    left, right, top, bottom = request.margins(*moment.size)
    return moment.size[0] + left + right, moment.size[1] + top + bottom


def stroke(
    points: Sequence[tuple[float, float]], radius: float, size: tuple[int, int]
) -> NDArray[np.bool_]:
    """A brush stroke as a mask (H, W). Points are parts of the width and height, the radius is in
    pixels of ``size`` (width, height)."""
    mask = np.zeros((size[1], size[0]), np.uint8)
    places = [(round(x * size[0] - 0.5), round(y * size[1] - 0.5)) for x, y in points]
    thick = max(1, round(2 * radius))
    for begin, end in pairwise(places):
        cv2.line(mask, begin, end, 1, thick)
    for place in (places[0], places[-1]):
        cv2.circle(mask, place, max(1, round(radius)), 1, cv2.FILLED)
    return mask > 0


def painted_back(
    picture: Image.Image, original: Image.Image, corner: tuple[int, int], mask: NDArray[np.bool_]
) -> Image.Image:
    """The picture with the original's bytes under ``mask`` (H, W); ``corner`` is where it lies.

    MaskError if the mask does not touch the original.
    """
    if picture.mode != original.mode:
        raise ImageError(f"the original is {original.mode}, this picture {picture.mode}; undo")
    left, top = corner
    right, bottom = left + original.width, top + original.height
    touched = mask[top:bottom, left:right]
    if not touched.any():
        raise MaskError("there is no original here: this part was added")
    raw = np.array(picture)
    raw[top:bottom, left:right][touched] = np.asarray(original)[touched]
    out = picture.copy()
    out.info = dict(picture.info)
    data = np.packbits(raw, axis=1).tobytes() if out.mode == "1" else raw.tobytes()
    out.frombytes(data)
    _deep_back(out, picture, original, (slice(top, bottom), slice(left, right)), touched)
    return out


def _deep_back(
    out: Image.Image,
    picture: Image.Image,
    original: Image.Image,
    part: tuple[slice, slice],
    touched: NDArray[np.bool_],
) -> None:
    """The same for what a picture of 16 bits a channel holds beside its own 8."""
    now, before = deep_of(picture), deep_of(original)
    if now is None or before is None or now.peak != before.peak:
        out.info.pop(DEEP, None)
        return
    values = now.values.copy()
    values[part][touched] = before.values[touched]
    out.info[DEEP] = Deep(values, now.peak)

