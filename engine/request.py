"""The edit request: one schema for the window, HTTP, the command line and Python.

Pictures travel beside the JSON: ``image`` and ``mask`` are left out when a request is written
down, so ``request.to_json()`` is what a saved PNG carries.
"""

from __future__ import annotations

import secrets
from typing import Annotated, Any, Literal, get_args

from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from engine.errors import RequestError

Task = Literal["inpaint", "outpaint", "edit_class", "generate"]
TASKS: tuple[str, ...] = get_args(Task)
SIDES = ("left", "right", "top", "bottom")
MAX_SEED = 2**53 - 1  # the largest integer that JSON and JavaScript carry exactly
MAX_VARIATIONS = 16
MAX_MARGIN = 16384  # pixels on one side
MAX_MARGIN_PERCENT = 400.0

MaskLike = Image.Image | NDArray[Any]


def _reject_bool(value: object) -> object:
    """pydantic takes True for 1; a user who sends true for a number has made a mistake."""
    if isinstance(value, bool):
        raise ValueError("expected a number, not true or false")
    return value


def _parse_margin(value: object) -> object:
    """Accept pixels as a number or text, and percent as text: 256, "256", "25%"."""
    _reject_bool(value)
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


def _parse_context(value: object) -> object:
    """Accept "auto", "whole", or pixels as a number or text."""
    _reject_bool(value)
    if isinstance(value, str):
        text = value.strip().lower()
        if text in ("auto", "whole"):
            return text
        value = text
    try:
        return int(str(value))
    except ValueError:
        raise ValueError('expected "auto", "whole" or a number of pixels') from None


def _parse_seeds(value: object) -> object:
    """Accept a list of seeds as text too: "7,7,7"."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


Margin = Annotated[int | str, BeforeValidator(_parse_margin)]
Number = BeforeValidator(_reject_bool)


class _Schema(BaseModel):
    """Frozen, closed to unknown names, and with one-line errors of our own kind."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    def __init__(self, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise RequestError(_one_line(error, type(self))) from None


def _one_line(error: ValidationError, schema: type[BaseModel]) -> str:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"] if not str(part).startswith("function-"))
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        return f"unknown option {name!r}; known: {', '.join(schema.model_fields)}"
    given = repr(first.get("input"))
    if len(given) > 60:
        given = given[:57] + "..."
    return f"{name}: {message[0].lower() + message[1:]} (got {given})"


class EditOptions(_Schema):
    """How to edit. None means "the default of this task"; every default is in the field.

    ``seed`` draws a fresh one if None; variation i uses ``seed + i``, so any variation can be made
    again alone. ``guidance`` is the classifier-free guidance at the last scale, ``top_k`` 0 and
    ``top_p`` 1 switch the filter off, ``temperature`` below 1 draws likelier tokens; with
    ``temperature_schedule`` "falling" it goes from 1 at the first scale to that at the last.
    ``context`` is what the model sees around the mask: "auto", the "whole" picture, or so many
    pixels.
    ``feather`` is the width in source pixels over which an edit fades in, inward from the mask's
    edge.

    ``rule`` "paper" is the editing rule of the VAR authors' demo. The levers after it belong to
    the default rule: ``structure`` keeps the first so many scales of the surroundings (0 makes
    everything new), ``fill`` is what the hole is filled with before encoding, ``closed_loop``
    re-quantises the known area at each scale, ``coverage`` is the masked share of a token's area
    above which it is regenerated, ``grow`` is the width, in pixels of the model's square, of a rim
    around the hole that is not believed either: it is filled before encoding but stays as it is.
    ``anchor`` decodes the known area from its own features instead of their nearest codes,
    ``half_known`` is how much the known part of a token's area weighs in where it is drawn.
    ``foresight`` lets the transformer read the known area's own features at every scale, if it was
    trained for that. ``backdrop`` shows the hole as inpainting fills it (with seed 0) around the
    thing that a class edit has drawn, which is cut out for that; it is the default of models with
    foresight. ``studio`` draws that thing before plain grey instead of the picture, where the mask
    hides the middle of what the model would see or is in one piece around it. It needs a backdrop,
    and is the default of labels that the model's file knows as things; ``blend``, ``grain``,
    ``match_colour`` and ``speed`` are then about the backdrop or nothing. ``blend`` is how the
    result meets its surroundings, ``match_colour`` takes the VQVAE's shift of colour on the
    known rim out of the edit, ``grain`` is how much of the texture around the hole is laid over
    it (1 as much as there; less where less is known than is to be made), ``soft_scales`` is how
    many of the last scales take the expected code vector instead of a drawn one,
    ``guidance_schedule`` how guidance grows over the scales.

    ``candidates`` draws so many and returns the best ``variations`` of them by score, best first.
    ``coarse_seeds`` has one seed for each of the first scales: all variations draw those scales
    with it and the others with their own seed, so (7, 7, 7) is "the idea of seed 7, other
    details". ``speed`` "fast" is approximate: the picture is run through the transformer once and
    an edit computes its own positions and a margin only.
    """

    seed: Annotated[int, Number, Field(ge=0, le=MAX_SEED)] | None = None
    variations: Annotated[int, Number, Field(ge=1, le=MAX_VARIATIONS)] = 1
    guidance: Annotated[float, Number, Field(ge=0, le=30)] | None = None
    top_k: Annotated[int, Number, Field(ge=0, le=65536)] | None = None
    top_p: Annotated[float, Number, Field(gt=0, le=1)] | None = None
    temperature: Annotated[float, Number, Field(gt=0, le=4)] | None = None
    temperature_schedule: Literal["constant", "falling"] | None = None
    context: Annotated[
        Literal["auto", "whole"] | Annotated[int, Field(ge=0, le=65536)],
        BeforeValidator(_parse_context),
    ] = "auto"
    feather: Annotated[int, Number, Field(ge=0, le=1024)] | None = None
    rule: Literal["default", "paper"] = "default"
    structure: Annotated[int, Number, Field(ge=0, le=16)] | None = None
    fill: (
        Literal["none", "telea", "navier_stokes", "push_pull", "mirror", "sideways", "mean"] | None
    ) = None
    closed_loop: bool | None = None
    coverage: Annotated[float, Number, Field(ge=0, lt=1)] | None = None
    grow: Annotated[int, Number, Field(ge=0, le=64)] | None = None
    anchor: bool | None = None
    half_known: Annotated[float, Number, Field(ge=0, le=1000)] | None = None
    foresight: bool | None = None
    backdrop: bool | None = None
    studio: bool | None = None
    blend: Literal["none", "membrane", "poisson", "multiband"] | None = None
    match_colour: bool | None = None
    grain: Annotated[float, Number, Field(ge=0, le=2)] | None = None
    soft_scales: Annotated[int, Number, Field(ge=0, le=16)] | None = None
    guidance_schedule: Literal["linear", "constant", "cosine", "falling"] | None = None
    candidates: Annotated[int, Number, Field(ge=1, le=MAX_VARIATIONS)] | None = None
    coarse_seeds: Annotated[
        tuple[Annotated[int, Number, Field(ge=0, le=MAX_SEED)], ...],
        Field(max_length=16),
        BeforeValidator(_parse_seeds),
    ] = ()
    speed: Literal["exact", "fast"] = "exact"

    def with_seed(self) -> EditOptions:
        """The same options with a seed, drawn now if there was none."""
        if self.seed is not None:
            return self
        return self.model_copy(update={"seed": secrets.randbelow(2**31)})


class Region(_Schema):
    """A part of the picture with a class of its own; ``mask`` and ``label`` as in EditRequest."""

    mask: MaskLike | None = Field(default=None, exclude=True, repr=False)
    label: Annotated[int | str, Number]


class EditRequest(_Schema):
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
    label: Annotated[int | str, Number] | None = None
    left: Margin = 0
    right: Margin = 0
    top: Margin = 0
    bottom: Margin = 0
    regions: tuple[Region, ...] = ()
    model: str | None = None
    options: EditOptions = EditOptions()

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

