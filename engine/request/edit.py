"""The edit request: one schema for the window, HTTP, the command line and Python.

Pictures travel beside the JSON: ``image`` and ``mask`` are left out when a request is written
down, so ``request.to_json()`` is what a saved PNG carries.
"""

from __future__ import annotations

import json
from typing import Annotated

from PIL import Image
from pydantic import BeforeValidator, Field

from engine.arrays import MaskLike
from engine.errors import RequestError
from engine.request.options import (
    RETIRED,
    RETIRED_VALUES,
    EditOptions,
    Schema,
    Task,
    no_bool,
)

SIDES = ("left", "right", "top", "bottom")
MAX_MARGIN = 16384  # pixels on one side
MAX_MARGIN_PERCENT = 400.0
ORIENTATION = 0x0112  # EXIF tag ...
SIDEWAYS = (5, 6, 7, 8)  # ... and its values that swap width and height



def _margin(value: object) -> object:
    """Accept pixels as a number or text, and percent as text: 256, "256", "25%"."""
    no_bool(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value).strip()
    percent = text.endswith("%")
    try:
        number = float(text[:-1]) if percent else int(text)
    except ValueError:
        raise ValueError('expected pixels such as 256, or a part such as "25%"') from None
    if not number >= 0:
        raise ValueError("must not be negative")
    if percent and number > MAX_MARGIN_PERCENT:
        raise ValueError(f"must be at most {MAX_MARGIN_PERCENT:g}%")
    if not percent and number > MAX_MARGIN:
        raise ValueError(f"must be at most {MAX_MARGIN} pixels")
    return text if percent else int(number)


Margin = Annotated[int | str, BeforeValidator(_margin)]
Label = Annotated[int | str, BeforeValidator(no_bool)]


class Region(Schema):
    """A part of the picture with a class of its own; ``mask`` and ``label`` as in EditRequest."""

    mask: MaskLike | None = Field(default=None, exclude=True, repr=False)
    label: Label


class EditRequest(Schema):
    """One edit: what to do, to which picture, how.

    ``image`` is a PIL picture of any mode; ``mask`` is a PIL picture, or an array (H, W), of the
    same size, white (or True) where the picture is to be regenerated. ``label`` is a class name
    or id of the model; None is "no label". ``left`` ... ``bottom`` are pixels or percent of the
    picture's own side. ``regions`` of edit_class, instead of ``mask`` and ``label``, are edited one
    after the other. ``model`` names the model that made a result, or is to make it.
    """

    task: Task
    image: Image.Image | None = Field(default=None, exclude=True, repr=False)
    mask: MaskLike | None = Field(default=None, exclude=True, repr=False)
    label: Label | None = None
    left: Margin = 0
    right: Margin = 0
    top: Margin = 0
    bottom: Margin = 0
    regions: tuple[Region, ...] = ()
    model: str | None = None
    options: EditOptions = EditOptions()

    @property
    def size(self) -> tuple[int, int] | None:
        """(width, height) of the picture once it is turned as its EXIF orientation says; None
        without a picture."""
        if self.image is None:
            return None
        width, height = self.image.size
        try:
            sideways = self.image.getexif().get(ORIENTATION, 1) in SIDEWAYS
        except Exception:  # damaged: it says nothing
            sideways = False
        return (height, width) if sideways else (width, height)

    def to_json(self) -> str:
        """The request without its pictures."""
        return self.model_dump_json(exclude_none=True)

    def margins(self, width: int, height: int) -> tuple[int, int, int, int]:
        """(left, right, top, bottom) in pixels for a picture of this size."""

        def pixels(margin: int | str, side: int) -> int:
            if isinstance(margin, int):
                return margin
            return round(float(margin[:-1]) / 100 * side)

        return (
            pixels(self.left, width),
            pixels(self.right, width),
            pixels(self.top, height),
            pixels(self.bottom, height),
        )


def reread(text: str) -> tuple[EditRequest, tuple[str, ...]]:
    """A request that was written down, by this version or an earlier one, and notes on what of it
    is not known any more and left to its default. Raises RequestError."""
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict) or not all(isinstance(name, str) for name in given):
        raise RequestError("expected a request as a JSON object, such as a saved PNG carries")
    options, notes = given.get("options"), []
    if isinstance(options, dict):
        known = dict(options)
        for name in RETIRED:
            if known.pop(name, None) is not None:
                notes.append(f"{name}: this option is gone; its default was taken")
        for name, values in RETIRED_VALUES.items():
            if known.get(name) in values:
                notes.append(f"{name}: {known.pop(name)!r} is gone; the default was taken")
        given = {**given, "options": known}
    return EditRequest(**given), tuple(notes)
