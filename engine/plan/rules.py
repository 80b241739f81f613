"""Editing rules: the defaults of every lever, by task, and the VAR authors' rule "paper"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.arrays import Floats, Mask
from engine.plan.shapes import hides_middle, surrounds
from engine.request import EditOptions


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Every lever of an edit, decided."""

    paper: bool
    structure: int
    extending: int  # the same where the frame's middle is known, see `kept`
    fill: str
    fill_beside: str  # the same where every row shows something known, see `filling`
    closed_loop: bool
    coverage: float
    grow: int
    grow_around: int  # the same where the hole surrounds the known area, see `rim`
    anchor: bool
    half_known: float
    foresight: bool
    backdrop: bool
    studio: bool
    blend: str
    match_colour: bool
    grain: float
    feather: int
    soft_scales: int
    guidance: float
    guidance_schedule: str
    top_k: int
    top_p: float
    temperature: float
    temperature_schedule: str

    def kept(self, mask: Floats) -> int:
        """How many of the first scales are kept of a frame with this mask, (S, S) in [0, 1].

        Models draw a thing in the frame's middle. Where that is known a label tells what is there,
        not what is to come, and a class edit extends the picture as outpainting does.
        """
        return self.structure if hides_middle(mask) else self.extending

    def rim(self, hole: Mask) -> int:
        """How wide a rim around a hole (S, S) is not believed, in model pixels.

        It is there for the edge and the shadow of a thing in the hole. A hole that surrounds the
        known area holds no thing: the picture is to be extended, from its very edge.
        """
        return self.grow_around if surrounds(hole) else self.grow

    def filling(self, hole: Mask) -> str:
        """What a hole (S, S) is filled with before encoding.

        Telea's method goes on with a horizon beside the picture. Above and below it, where there is
        sky or ground, it draws streaks.
        """
        return self.fill if hole.all(axis=1).any() else self.fill_beside


TASK_GUIDANCE = {"inpaint": 2.0, "outpaint": 2.0, "edit_class": 4.0, "generate": 4.0}
LABELLED = ("edit_class", "generate")
SAMPLING = {"top_k": 600, "top_p": 0.95, "soft_scales": 0, "guidance_schedule": "linear",
            "temperature": 1.0, "temperature_schedule": "constant"}  # fmt: skip
# A thing has one form, which a few likely tokens draw; scenery has many.
SCENERY = {"top_k": 0, "top_p": 0.9, "guidance": 1.0, "guidance_schedule": "constant",
           "temperature": 0.4, "temperature_schedule": "falling"}  # fmt: skip
FINE_COVERAGE = 0.02  # masked share above which a token of the finest scale is regenerated
KEPT = 0.6  # part of the scales that an unlabelled edit keeps
# How much the known part of a token's area counts, see `half_known`. More of it holds the known
# area better, and gives a thing that a label asks for less room near the mask's edge.
HALF_KNOWN, HALF_KNOWN_LABELLED = 48.0, 16.0
GRAIN = 1.0  # as rough as the surroundings; what a label asks for has a surface of its own
UNBELIEVED = 4  # model pixels around a hole: an object's blurred edge and the start of its shadow


def rule_for(
    task: str,
    options: EditOptions,
    scales: tuple[int, ...],
    defaults: Mapping[str, Any] | None = None,
    *,
    foresight: bool = False,
    scenery: bool = False,
) -> Rule:
    """The rule for a request: what the options leave open is filled in.

    ``defaults`` is the model's own sampling, where its file recommends one; guidance, its schedule
    and temperature are for class edits and new pictures, soft scales for unlabelled edits (what a
    label asks for is to have edges). The rule "paper" takes its filters only.
    ``foresight`` says whether the model was trained for that, ``scenery`` whether the label is
    known to be no thing: new pictures of it have a sampling of their own, before the model's.

    Unlabelled edits keep the coarser scales of the filled picture, which carry colour and light
    across the hole; class edits and new pictures regenerate all of them, but where the middle of a
    class edit's frame is known. Unlabelled edits fill by Telea's method, which draws edges out into
    the hole; extending does so beside the picture, and elsewhere draws its edge out sideways.
    Inpainting does not believe the rim of its hole, since a mask may be too tight around what is to
    go; unless the hole surrounds the known area. A class edit has no grain, since what a label asks
    for has a surface of its own. Of a model with foresight, which has learned to fill holes, it has
    the inpainted hole as its backdrop: that costs half an edit. Things are then drawn in a studio
    (`Editor.staged`).
    """
    paper = options.rule == "paper"
    unlabelled = task not in LABELLED and not paper
    kept = min(round(KEPT * len(scales)), len(scales) - 2)  # a scale to draw, a soft one
    structure = max(kept, 0) if unlabelled else 0
    extending = max(kept, 0) if task == "edit_class" and not paper else structure
    beside = "push_pull" if task in LABELLED else "telea"
    fill = "sideways" if task == "outpaint" else beside
    grow = UNBELIEVED if task == "inpaint" and not paper else 0
    own = {**SAMPLING, "guidance": TASK_GUIDANCE[task], **(defaults or {})}
    if task not in LABELLED:
        own |= {"guidance": TASK_GUIDANCE[task], "temperature": SAMPLING["temperature"]}
    if task == "generate" and scenery and not paper:
        own |= SCENERY
    soft = min(own["soft_scales"], len(scales) - 1 - max(kept, 0))  # a scale is left to draw
    own["soft_scales"] = soft if unlabelled else 0
    half_known = HALF_KNOWN if unlabelled else HALF_KNOWN_LABELLED
    if paper:
        own["guidance_schedule"] = "linear"

    def chosen(value: Any, default: Any) -> Any:
        return default if value is None else value

    backdrop = chosen(options.backdrop, foresight and not paper)
    return Rule(
        paper=paper,
        structure=chosen(options.structure, structure),
        extending=chosen(options.structure, extending),
        fill=chosen(options.fill, "none" if paper else fill),
        fill_beside=chosen(options.fill, "none" if paper else beside),
        closed_loop=chosen(options.closed_loop, not paper),
        coverage=chosen(options.coverage, FINE_COVERAGE),
        grow=chosen(options.grow, grow),
        grow_around=chosen(options.grow, 0),
        anchor=chosen(options.anchor, not paper),
        half_known=chosen(options.half_known, 0.0 if paper else half_known),
        foresight=chosen(options.foresight, foresight and not paper),
        backdrop=backdrop and task == "edit_class",
        studio=chosen(options.studio, True) and backdrop and task == "edit_class",
        blend=chosen(options.blend, "none" if paper else "membrane"),
        match_colour=chosen(options.match_colour, False),
        grain=chosen(options.grain, GRAIN if unlabelled else 0.0),
        feather=chosen(options.feather, 0),
        soft_scales=chosen(options.soft_scales, own["soft_scales"]),
        guidance=chosen(options.guidance, own["guidance"]),
        guidance_schedule=chosen(options.guidance_schedule, own["guidance_schedule"]),
        top_k=chosen(options.top_k, own["top_k"]),
        top_p=chosen(options.top_p, own["top_p"]),
        temperature=chosen(options.temperature, own["temperature"]),
        temperature_schedule=chosen(options.temperature_schedule, own["temperature_schedule"]),
    )
