"""The canvas's tools that need the server: pick a thing, paint the original back, and what the
model will see.

The page's script (assets/tools.js) sends what the hand did as a line of JSON in a hidden field.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any, TypeVar

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app import canvas, geometry, markup, original, screens, selection
from app.backend import Backend
from app.forms import edit_request, remembered
from app.screens import Screen
from app.session import Session
from engine.errors import EngineError, RequestError
from engine.request import SIDES

Part = Annotated[float, Field(ge=-1, le=2)]  # of a side; a hand may leave the picture
MOST_POINTS = 20_000
SPARE = 1.3  # times the pixels of the screen that may be sent
MANY = 4  # frames of a mask that are worth a word
LONGEST = 4_000_000  # characters of a mask that the page sends
FINEST = 1 << 20  # pixels of it


class _Gesture(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    id: int
    version: int


class Pick(_Gesture):
    """A click on a thing, or a box around one."""

    place: tuple[Part, Part] | None = None
    box: tuple[Part, Part, Part, Part] | None = None
    tolerance: Annotated[int, Field(ge=0, le=255)] = selection.TOLERANCE
    take: bool = False


class Stroke(_Gesture):
    """A stroke of the brush that paints the original back; ``radius`` in pixels of the proxy."""

    points: Annotated[list[tuple[Part, Part]], Field(min_length=1, max_length=MOST_POINTS)]
    radius: Annotated[float, Field(gt=0, le=4096)]


class Look(_Gesture):
    """A part of the picture, or of a variation by its number, that is to be seen in full; it takes
    ``screen`` pixels of the screen's width."""

    box: tuple[Part, Part, Part, Part]
    number: Annotated[int, Field(ge=0)] = 0
    screen: Annotated[int, Field(ge=1, le=8192)]


class Reshape(_Gesture):
    """Another shape for the picture; see ``geometry.Framing``."""

    turns: Annotated[int, Field(ge=0, le=3)] = 0
    angle: Annotated[float, Field(ge=-geometry.STEEPEST, le=geometry.STEEPEST)] = 0.0
    box: tuple[Part, Part, Part, Part] = (0.0, 0.0, 1.0, 1.0)
    width: Annotated[int, Field(ge=0, le=1 << 16)] = 0


G = TypeVar("G", bound=_Gesture)


class Tools:
    """The callbacks of these tools."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def pick(self, sent: str, session: Session) -> Iterator[Screen]:
        """Answer with the thing's shape; the page puts it on the canvas, as a stroke of its own."""
        asked = _read(Pick, sent)
        if asked.version != session.version:
            return  # another picture is on the canvas by now
        picture = np.asarray(canvas.proxy(session.picture.image))
        if asked.box is not None:
            mask = selection.thing_in(picture, asked.box)
        else:
            place = asked.place or (0.5, 0.5)
            mask = selection.thing_at(picture, place, asked.tolerance)
        shape = canvas.to_picture(mask)
        yield {
            "shape": markup.shape(
                str(asked.id), asked.version, canvas.as_layer(shape, shape.size), take=asked.take
            ),
            "status": markup.status(
                "Taken out of the mask." if asked.take else "Selected. Press Run, or add to it."
            ),
        }

    def paint_back(
        self, sent: str, painted: str, session: Session
    ) -> Iterator[Screen]:
        """Restore the source's pixels along a stroke; a step of the history."""
        asked = _read(Stroke, sent)
        begun, ended = session.stroking
        begun = begun if ended == session.version else session.version
        if not begun <= asked.version <= session.version:
            return  # another picture is on the canvas by now
        source, corner = original.original_of(session)
        moment = session.picture
        scale = moment.size[0] / canvas.proxy_size(moment.size)[0]
        mask = original.stroke(asked.points, asked.radius * scale, moment.size)
        picture = original.painted_back(moment.image, source.image, corner, mask)
        after = remembered(painted, session).edited(picture, original.CAPTION)
        after = replace(after, stroking=(begun, after.version))
        yield {
            **screens.of_session(after),
            "status": markup.status("The original is back there.", "done"),
        }

    def look(self, sent: str, session: Session) -> Iterator[Screen]:
        """A part of the picture with all of its pixels, or as many as the screen has there."""
        asked = _read(Look, sent)
        if asked.version != session.version or asked.number > len(session.shown):
            return  # another picture is on the canvas by now
        image = session.shown[asked.number - 1].image if asked.number else session.picture.image
        width, height = image.size
        left, top, right, bottom = (min(max(part, 0.0), 1.0) for part in asked.box)
        box = (
            int(left * width), int(top * height),
            min(width, int(right * width) + 1), min(height, int(bottom * height) + 1),
        )  # fmt: skip
        if box[0] >= box[2] or box[1] >= box[3]:
            return
        part = image.crop(box)
        part.info = dict(image.info)
        most = part.size if part.width < SPARE * asked.screen else (
            asked.screen, asked.screen * part.height // part.width
        )  # fmt: skip
        url = canvas.url(canvas.shown(part, max(*most, 1)))
        parts = box[0] / width, box[1] / height, box[2] / width, box[3] / height
        yield {"sharp": markup.sharp(str(asked.id), asked.version, url, parts, asked.number)}

    def reshape(self, sent: str, painted: str, session: Session) -> Iterator[Screen]:
        """Crop, turn, straighten or resize the picture; a step of the history. What is painted and
        marked goes along."""
        asked = _read(Reshape, sent)
        if asked.version != session.version:
            return  # another picture is on the canvas by now
        yield {"status": markup.status("Working …", "busy")}
        framing = geometry.Framing(asked.turns, asked.angle, asked.box, asked.width)
        session = remembered(painted, session)
        moment = session.picture
        picture = geometry.framed(moment.image, framing)
        shown = canvas.proxy_size(picture.size)

        def along(mask: Image.Image) -> Image.Image | None:
            return geometry.framed_mask(mask, framing, moment.size, shown)

        mask = along(moment.mask) if moment.mask is not None else None
        moved = [(region, along(region.mask)) for region in moment.regions]
        regions = [replace(r, held=session.vault.hold(m)) for r, m in moved if m is not None]
        caption = geometry.in_words(moment.size, picture.size, framing)
        after = session.reshaped(picture, caption, mask, regions)
        text = f"{caption}. Undo takes it back."
        if (moment.mask is not None and mask is None) or len(regions) < len(moved):
            text = f"{caption}. What was marked outside of it is gone; undo brings it back."
        elif mask is not None or regions:
            text = f"{caption}; what is marked went along. Undo takes it back."
        detail = f"{picture.width} × {picture.height}"
        yield {
            **screens.of_session(after),
            "status": markup.status(text, "done", detail),
        }

    def sight(
        self,
        painted: str,
        session: Session,
        task: str,
        model: str | None,
        **fields: Any,
    ) -> Iterator[Screen]:
        """The squares that the model would see, or draw a class in, if Run were pressed now.

        ``painted`` is the canvas's version and, after a space, a small picture of the mask.
        """
        version, _, mask = painted.partition(" ")
        if version != str(session.version):
            mask = ""
        try:
            frames = self._frames(mask, session, task, model, fields)
        except (EngineError, ValueError, OSError):
            frames = []  # half-typed fields; Run tells
        screen: Screen = {
            "sight": markup.sight(session.version, frames, draws=task == "edit_class")
        }
        if task == "inpaint" and len(frames) >= MANY:
            text = f"{len(frames)} parts far from each other: each is drawn by itself, in turn."
            screen["status"] = markup.status(text)
        yield screen

    def _frames(
        self, painted: str, session: Session, task: str, model: str | None, fields: dict[str, Any]
    ) -> list[tuple[int, int, int]]:
        """(left, top, side) of each, in pixels of the picture on the canvas."""
        moment = session.current
        if moment is None or not self._backend.ready(model) or task == "generate":
            return []
        size = moment.size
        if task == "outpaint":
            margins = {side: fields.get(f"extend-{side}") for side in SIDES}
            # where it looks does not depend on what is there, hence an empty picture
            request = edit_request(
                "outpaint", image=Image.new("L", size), model=model, margins=margins
            )
            left, _, top, _ = request.margins(*size)
            windows = self._backend.plan(request).windows
            return [(window.left - left, window.top - top, window.side) for window in windows]
        masks = []
        if task == "edit_class":
            masks += [canvas.full_size(region.mask, size) for region in moment.regions]
        if painted:
            masks.append(_mask_of(painted).resize(size, Image.Resampling.NEAREST))
        context = {"context": fields.get("context")}
        frames = []
        label = 0 if task == "edit_class" else None  # where it draws is the same for all
        for mask in masks:  # one after the other
            image = Image.new("L", size)
            request = edit_request(
                task, image=image, mask=mask, label=label, model=model, options=context
            )
            windows = self._backend.plan(request).windows
            frames += [(window.left, window.top, window.side) for window in windows]
        return frames


def _read(kind: type[G], sent: str) -> G:
    try:
        return kind.model_validate_json(sent)
    except ValidationError:
        raise RequestError("the page sent something unreadable; reload it") from None


def _mask_of(url: str) -> Image.Image:
    """The small picture of the mask that the page sent; ValueError, OSError if it is none."""
    image = canvas.sent_picture(url, LONGEST)
    if image.width * image.height > FINEST:
        raise ValueError("too large")
    return image.convert("L").point(lambda value: 255 if value >= 128 else 0)
