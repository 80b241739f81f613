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

from app.session import Moment, Session
from engine.errors import ImageError, MaskError

CAPTION = "Original painted back"


def original_of(session: Session) -> tuple[Moment, tuple[int, int]]:
    """The source of the current picture, and where its top left corner lies in it, in pixels.

    ImageError where nothing was edited yet, or where the sizes do not tell where it lies.
    """
    current = session.picture
    added = np.zeros(4, int)  # left, right, top, bottom
    for at in range(session.at, -1, -1):
        moment = session.moments[at]
        request = moment.request
        if request is not None and request.task == "outpaint" and at > 0:
            added += np.array(request.margins(*session.moments[at - 1].size))
        made = request is not None and request.task != "generate"
        if made or moment.caption == CAPTION:
            continue
        if at == session.at:
            raise ImageError("this is the original; there is nothing to paint back yet")
        width, height = moment.size
        left, right, top, bottom = (int(n) for n in added)
        if (width + left + right, height + top + bottom) != current.size:
            break
        return moment, (left, top)
    raise ImageError("the original is of another size than this picture; undo to get back to it")


def strokes(session: Session) -> int:
    """How many strokes of the original the current picture has had since anything else."""
    count = 0
    while count < session.at and session.moments[session.at - count].caption == CAPTION:
        count += 1
    return count


def before_strokes(session: Session) -> Moment | None:
    """The picture that the original was painted back into; the current one if it was not."""
    return session.moments[session.at - strokes(session)] if session.at >= 0 else None


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
    return out
