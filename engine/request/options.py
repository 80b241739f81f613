"""The levers of an edit, one row each: name, type, bounds, default by task, help, group.

The schema of a request, the command line, the window's form, ``--set`` and the rows of the
ablation are made from this table; what a lever does is in the code that uses it. A lever is None
in a request that leaves it to its default, and `default_of` says what that is.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator
from pydantic_core.core_schema import ValidationInfo

from engine.errors import RequestError

Task = Literal["inpaint", "outpaint", "edit_class", "generate"]
TASKS: tuple[Task, ...] = get_args(Task)
Group = Literal["run", "main", "draws", "knows"]  # where a lever stands in the form
GROUPS: tuple[Group, ...] = get_args(Group)
LABELLED: tuple[Task, ...] = ("edit_class", "generate")  # tasks that draw what a label asks for
MAX_SEED = 2**53 - 1  # the largest integer that JSON and JavaScript carry exactly
MAX_VARIATIONS = 16

KEPT = 0.6  # part of the scales that an unlabelled edit keeps
UNBELIEVED = 4  # model pixels around a hole: a thing's blurred edge and the start of its shadow
# A thing has one form, which a few likely tokens draw; scenery has many.
SCENERY: Mapping[str, Any] = {
    "top_k": 0, "top_p": 0.9, "guidance": 1.0, "guidance_schedule": "constant",
    "temperature": 0.4, "temperature_schedule": "falling",
}  # fmt: skip


@dataclass(frozen=True)
class Situation:
    """What the default of a lever may depend on.

    ``recommended`` is the sampling that a model's own file recommends, ``foresight`` whether it
    was trained for that, ``labelled`` whether a label was asked for, ``scenery`` whether it is
    known to be no thing. ``side`` is that of the model's square in pixels, ``practised`` the sides
    of scales that it was trained to draw, if not all.
    """

    task: Task
    scales: tuple[int, ...]
    recommended: Mapping[str, Any] = field(default_factory=dict)
    foresight: bool = False
    labelled: bool = False
    scenery: bool = False
    paper: bool = False
    side: int = 256
    practised: tuple[int, ...] = ()

    @property
    def unlabelled(self) -> bool:
        """Whether the edit follows its surroundings, by our own rule."""
        return self.task not in LABELLED and not self.paper

    @property
    def kept(self) -> int:
        """How many scales an unlabelled edit keeps; a scale to draw and a soft one are left."""
        return max(min(round(KEPT * len(self.scales)), len(self.scales) - 2), 0)


Default = Callable[[Situation], Any]


@dataclass(frozen=True)
class Lever:
    """A row of the table. ``title`` and ``help`` are what the form shows, ``group`` is where;
    ``tasks`` are those in which it says anything."""

    group: Group
    title: str
    help: str
    default: Any | Default = None
    tasks: tuple[Task, ...] = TASKS
    choices: tuple[str, ...] = ()  # what the form offers where the type does not say it
    slider: tuple[int, int | None] | None = None  # or a slider, None: up to the model's scales
    ablation: tuple[Any, ...] = ()  # values that the evaluation compares

    def __post_init__(self) -> None:
        if self.group not in GROUPS:
            raise ValueError(f"unknown group {self.group!r} of a lever; known: {', '.join(GROUPS)}")

    def default_of(self, situation: Situation) -> Any:
        """What None stands for."""
        return self.default(situation) if callable(self.default) else self.default


def _sampled(name: str, usual: Any, *, labelled_only: bool = False) -> Default:
    """A default that a model's file may recommend and that new pictures of scenery have their own
    of. ``labelled_only``: the recommendation is for what a label asks for."""

    def default(situation: Situation) -> Any:
        if situation.task == "generate" and situation.scenery and not situation.paper:
            return SCENERY[name]
        if labelled_only and situation.task not in LABELLED:
            return usual
        return situation.recommended.get(name, usual)

    return default


def _guidance(situation: Situation) -> float:
    usual = 4.0 if situation.task in LABELLED else 2.0
    value: float = _sampled("guidance", usual, labelled_only=True)(situation)
    return value


def _guidance_schedule(situation: Situation) -> str:
    if situation.paper:
        return "linear"
    schedule: str = _sampled("guidance_schedule", "linear")(situation)
    return schedule


def _soft_scales(situation: Situation) -> int:
    """What a label asks for is to have edges; of the others a scale is left to draw."""
    if not situation.unlabelled:
        return 0
    wanted = int(situation.recommended.get("soft_scales", 0))
    return min(wanted, len(situation.scales) - 1 - situation.kept)


def _fill(situation: Situation) -> str:
    """Extending draws the picture's edge out sideways; around what a label asks for, a smooth fill;
    else Telea's method, which draws edges out into the hole."""
    if situation.paper:
        return "none"
    if situation.task == "outpaint":
        return "sideways"
    return "push_pull" if situation.task in LABELLED else "telea"


def no_bool(value: object) -> object:
    """pydantic takes True for 1; who sends true for a number has made a mistake."""
    if isinstance(value, bool):
        raise ValueError("expected a number, not true or false")
    return value


def _context(value: object) -> object:
    """Accept "auto", "whole", or pixels as a number or text."""
    no_bool(value)
    if isinstance(value, str):
        text = value.strip().lower()
        if text in ("auto", "whole"):
            return text
        value = text
    try:
        return int(str(value))
    except ValueError:
        raise ValueError('expected "auto", "whole" or a number of pixels') from None


def _seeds(value: object) -> object:
    """Accept a list of seeds as text too: "7,7,7" or "7 7 7"."""
    return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value


class Schema(BaseModel):
    """Frozen, closed to unknown names, and with one-line errors of our own kind."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    def __init__(self, /, **data: Any) -> None:  # an option may be called self, too
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise RequestError(_one_line(error, type(self))) from None


KINDS = ("int", "str", "float", "bool")  # where one of several kinds would do


def _one_line(error: ValidationError, schema: type[BaseModel]) -> str:
    first = error.errors()[0]
    said = [str(part) for part in first["loc"]]
    name = ".".join(part for part in said if part not in KINDS and not part.startswith("function-"))
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        return f"unknown option {name!r}; known: {', '.join(schema.model_fields)}"
    given = first.get("input")  # a file that was sent is an object, with its place on the server
    given = "an object" if isinstance(given, dict) else repr(given)
    if len(given) > 60:
        given = given[:57] + "..."
    return f"{name}: {message[0].lower() + message[1:]} (got {given})"


EDITS: tuple[Task, ...] = ("inpaint", "outpaint", "edit_class")
CLASS: tuple[Task, ...] = ("edit_class",)
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]


class EditOptions(Schema):
    """How to edit. None means "the default of this task".

    ``seed`` draws a fresh one if None; variation i uses ``seed + i``, so any variation can be made
    again alone. ``candidates`` draws so many and returns the best ``variations`` of them by score,
    best first; of eight or more, without a label or in new pictures, all are begun and the few that
    are best by then are finished. ``coarse_seeds`` has one seed for each of the first scales: all
    variations draw those scales with it and the others with their own, so (7, 7, 7) is "the idea of
    seed 7, other details". ``speed`` "fast" is approximate: the picture is run through the
    transformer once and an edit computes its own positions and a margin only.

    ``context`` is what the model sees around the mask. ``guidance`` is the classifier-free guidance
    at the last scale, ``top_k`` 0 and ``top_p`` 1 switch the filter off, ``temperature`` below 1
    draws likelier tokens; with ``temperature_schedule`` "falling" it goes from 1 at the first scale
    to that at the last. ``square`` and ``steps`` are for models that are free in them: the side in
    pixels of the square that the model sees, and in how many scales it is drawn. ``rule`` "paper"
    is the editing rule of the VAR authors' demo.

    ``structure`` keeps the first so many scales of the surroundings, ``composition`` those of what
    the mask hides, which changes it gently: the hole then shows what it hides, without a rim,
    studio or backdrop, and the detail is the model's. ``fill`` is what the hole is filled with
    before encoding; ``grow`` is the width, in pixels of the model's square, of a rim around the
    hole that is not believed either. ``backdrop`` shows the hole as inpainting fills it
    around the thing that a class edit has drawn, or, with ``around`` "keep", the picture as it was;
    "auto" keeps it where the mask holds nothing that its surroundings have not; ``studio`` draws
    that thing before plain grey instead of the picture, where the mask hides the middle of what the
    model would see or is in one piece around it. ``blend`` is how the result meets its
    surroundings. With ``detail`` "picture" the model says what is where, and the picture what it
    is made of (`engine.paint.exemplar`); that is the default without a label. ``feather`` is the
    width in source pixels over which an edit fades in, inward from the mask's edge.
    """

    seed: Annotated[
        int | None, Field(ge=0, le=MAX_SEED), Lever("run", "Seed", "Same seed, same picture.")
    ] = None
    variations: Annotated[
        int, Field(ge=1, le=MAX_VARIATIONS),
        Lever("run", "Variations", "How many results, 1 to 16.", 1, slider=(1, MAX_VARIATIONS)),
    ] = 1  # fmt: skip
    composition: Annotated[
        int | None, Field(ge=0, le=16),
        Lever("main", "Keep the composition",
              "How many coarse scales of what is painted over stay: 0 draws it anew, more change "
              "it less.", 0, ("inpaint", "edit_class"), slider=(0, None)),
    ] = None  # fmt: skip
    structure: Annotated[
        int | None, Field(ge=0, le=16),
        Lever("main", "Structure", "How many coarse scales around it are kept; 0 makes new.",
              lambda at: at.kept if at.unlabelled else 0, EDITS,
              choices=("0", "1", "2", "3", "4", "5"), ablation=(0, 2, 3, 4)),
    ] = None  # fmt: skip
    context: Annotated[
        Literal["auto", "whole"] | Annotated[int, Field(ge=0, le=65536)],
        BeforeValidator(_context),
        Lever("main", "Context", "What it sees: auto, whole, or pixels around.", "auto",
              ("inpaint", "edit_class"), choices=("auto", "whole", "64", "128", "256"),
              ablation=("whole",)),
    ] = "auto"  # fmt: skip
    guidance: Annotated[
        float | None, Field(ge=0, le=30),
        Lever("main", "Guidance", "How strongly the class pulls.", _guidance),
    ] = None  # fmt: skip
    feather: Annotated[
        int | None, Field(ge=0, le=1024),
        Lever("main", "Feather", "Fade-in inside the mask, pixels.", 0, EDITS, ablation=(0, 8)),
    ] = None  # fmt: skip
    candidates: Annotated[
        int | None, Field(ge=1, le=MAX_VARIATIONS),
        Lever("main", "Best of", "Draws so many, shows the best.", ablation=(4,)),
    ] = None  # fmt: skip
    speed: Annotated[
        Literal["exact", "fast"],
        Lever("main", "Speed", "Fast approximates small edits.", "exact",
              ablation=("exact", "fast")),
    ] = "exact"  # fmt: skip
    blend: Annotated[
        Literal["none", "membrane"] | None,
        Lever("main", "Blend", "How it meets its surroundings.",
              lambda at: "none" if at.paper else "membrane", EDITS,
              ablation=("none", "membrane")),
    ] = None  # fmt: skip
    detail: Annotated[
        Literal["picture", "model"] | None,
        Lever("main", "Detail", "Of the picture itself, as the model has drawn it; or the model's.",
              lambda at: "picture" if at.unlabelled and not at.labelled else "model", EDITS,
              ablation=("picture", "model")),
    ] = None  # fmt: skip
    around: Annotated[
        Literal["auto", "keep", "new"],
        Lever("main", "Around it", "What shows around a thing: as it was, or made anew.",
              "auto", CLASS, ablation=("keep", "new")),
    ] = "auto"  # fmt: skip
    temperature: Annotated[
        float | None, Field(gt=0, le=4),
        Lever("draws", "Temperature", "Below 1 it draws with care, above 1 boldly.",
              _sampled("temperature", 1.0, labelled_only=True)),
    ] = None  # fmt: skip
    temperature_schedule: Annotated[
        Literal["constant", "falling"] | None,
        Lever("draws", "Temperature over scales",
              "Falling goes from 1 at the coarsest to that at the finest.",
              _sampled("temperature_schedule", "constant"), ablation=("constant", "falling")),
    ] = None  # fmt: skip
    top_k: Annotated[
        int | None, Field(ge=0, le=65536),
        Lever("draws", "Top-k", "Draws among so many of the likeliest tokens; 0 means all.",
              _sampled("top_k", 600)),
    ] = None  # fmt: skip
    top_p: Annotated[
        float | None, Field(gt=0, le=1),
        Lever("draws", "Top-p", "Draws among the likeliest of this probability; 1 means all.",
              _sampled("top_p", 0.95)),
    ] = None  # fmt: skip
    guidance_schedule: Annotated[
        Literal["linear", "constant", "falling", "ramp"] | None,
        Lever("draws", "Guidance over scales",
              "How the pull of the class changes from coarse to fine.", _guidance_schedule,
              ablation=("linear", "constant", "falling")),
    ] = None  # fmt: skip
    square: Annotated[
        int | None, Field(ge=16, le=4096),
        Lever("draws", "Square", "Side of the square it sees, if the model lets one choose.",
              lambda at: at.side, choices=("256", "512")),
    ] = None  # fmt: skip
    steps: Annotated[
        int | None, Field(ge=2, le=16),
        Lever("draws", "Steps", "How many scales it draws in, if the model lets one choose.",
              lambda at: len(at.scales), choices=("6", "8", "9", "10", "13", "15")),
    ] = None  # fmt: skip
    soft_scales: Annotated[
        int | None, Field(ge=0, le=16),
        Lever("draws", "Soft scales",
              "So many of the last scales are averaged, not drawn: calmer detail.", _soft_scales,
              ablation=(0, 1, 2)),
    ] = None  # fmt: skip
    coarse_seeds: Annotated[
        tuple[Seed, ...], Field(max_length=16), BeforeValidator(_seeds),
        Lever("draws", "Seeds of the first scales",
              "One for each, as “more like this” fills in: 7, 7, 7.", ()),
    ] = ()  # fmt: skip
    rule: Annotated[
        Literal["default", "paper"],
        Lever("knows", "Editing rule",
              "That of the VAR authors' demo takes no notice of what follows.", "default"),
    ] = "default"  # fmt: skip
    fill: Annotated[
        Literal["none", "telea", "push_pull", "sideways"] | None,
        Lever("knows", "Fill", "What the hole is filled with before the model looks.", _fill,
              EDITS, ablation=("none", "telea", "push_pull", "sideways")),
    ] = None  # fmt: skip
    grow: Annotated[
        int | None, Field(ge=0, le=64),
        Lever("knows", "Grow",
              "A rim so wide around the hole is not believed either, pixels of the square it sees.",
              lambda at: UNBELIEVED if at.task == "inpaint" and not at.paper else 0, EDITS,
              ablation=(0, 6)),
    ] = None  # fmt: skip
    backdrop: Annotated[
        bool | None,
        Lever("knows", "Backdrop",
              "Around what a class draws, the part as removing it would leave it.",
              lambda at: at.foresight and not at.paper, CLASS, ablation=(False, True)),
    ] = None  # fmt: skip
    studio: Annotated[
        bool | None,
        Lever("knows", "Studio", "A thing is drawn before plain grey and cut out of that.",
              True, CLASS, ablation=(False, True)),
    ] = None  # fmt: skip

    @field_validator("*", mode="before")
    @classmethod
    def _numbers(cls, value: object, info: ValidationInfo) -> object:
        yes_no = info.field_name in ("backdrop", "studio")
        return value if yes_no else no_bool(value)

    def with_seed(self) -> EditOptions:
        """The same options with a seed, drawn now if there was none."""
        if self.seed is not None:
            return self
        return self.model_copy(update={"seed": secrets.randbelow(2**31)})

    def decided(self, situation: Situation) -> dict[str, Any]:
        """The value of every lever: the one that was asked for, or its default here."""
        return {
            name: lever.default_of(situation) if (given := getattr(self, name)) is None else given
            for name, lever in LEVERS.items()
        }


LEVERS: dict[str, Lever] = {
    name: next(each for each in info.metadata if isinstance(each, Lever))
    for name, info in EditOptions.model_fields.items()
}

# Levers, and values of levers, of earlier versions: what they did is decided now, see
# docs/measured.md. Requests that were saved with them can still be read (`engine.request.reread`).
RETIRED = (
    "closed_loop", "coverage", "anchor", "foresight", "half_known", "match_colour", "grain",
)  # fmt: skip
RETIRED_VALUES: Mapping[str, tuple[str, ...]] = {
    "blend": ("poisson", "multiband"),
    "fill": ("mirror", "navier_stokes", "mean"),
    "guidance_schedule": ("cosine",),
}
