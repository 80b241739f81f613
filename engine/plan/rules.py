"""What was decided about an edit, in three values: what is kept, how is drawn, how it is finished.

All are numbers and words; each has one reader: the runner, the loop, the canvas.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from engine.arrays import Floats, Mask
from engine.plan.shapes import hides_middle, surrounds
from engine.request.options import EditOptions, Situation

# How much the known part of a token's area counts in where it is drawn (`engine.draw.keeping`).
# More of it holds the known area better, and gives a thing that a label asks for less room near
# the mask's edge.
HALF_KNOWN, HALF_KNOWN_LABELLED = 48.0, 16.0
BEGUN = 0.25  # part of the tokens that is drawn before candidates are given up
RAMP = 9  # scales over which guidance rises by the rule "ramp"


@dataclass(frozen=True, kw_only=True)
class Keeping:
    """What the model is shown of the known area, and what it has to keep of it.

    By the rule ``paper`` known tokens are replayed as the VAR authors' demo does; else the known
    area is quantised anew at each scale (closed loop), decoded from its own features, and weighs
    by ``half_known`` where a token's area is known in part. With ``foresight`` the transformer
    reads the known area's features at every scale.
    """

    paper: bool
    structure: int
    structure_beside: int  # the same where the frame's middle is known, see `kept`
    fill: str
    fill_beside: str  # the same where every row shows something known, see `filling`
    grow: int
    grow_around: int  # the same where the hole surrounds the known area, see `rim`
    half_known: float
    foresight: bool

    def kept(self, mask: Floats) -> int:
        """How many of the first scales are kept of a frame with this mask, (S, S) in [0, 1].

        Models draw a thing in the frame's middle. Where that is known a label tells what is there,
        not what is to come, and a class edit extends the picture as outpainting does.
        """
        return self.structure if hides_middle(mask) else self.structure_beside

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


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How a token is drawn. ``top_k`` 0 and ``top_p`` 1 switch a filter off.

    ``schedule`` is how guidance goes over the scales: linear, constant, falling or ramp; with
    ``cooling`` the temperature falls over them. The last ``soft_scales`` scales take the expected
    code vector. Of the scales in ``sure`` the likeliest token is taken, and from scale
    ``full_from`` on a ramp has reached its end (`sampling_over`).
    """

    guidance: float = 0.0
    schedule: str = "linear"
    top_k: int = 0
    top_p: float = 1.0
    temperature: float = 1.0
    cooling: bool = False
    soft_scales: int = 0
    sure: tuple[int, ...] = ()
    full_from: int | None = None

    def guidance_at(self, k: int, scales: int) -> float:
        """Guidance at scale k: constant, growing from 0 at the first scale, or falling to 0.

        "linear" is g k / (K - 1) (Tian et al., released code). "falling" is g (1 - k / (K - 1)):
        the label decides what there is, not its grain. "ramp" rises as over ten scales, and goes on
        rising where there are more (Jiao et al., released code).
        """
        if self.schedule == "constant":
            return self.guidance
        if self.schedule == "ramp":
            full = self.full_from is not None and k >= self.full_from
            return self.guidance if full else self.guidance * k / max(min(scales - 1, RAMP), 1)
        way = k / max(scales - 1, 1)
        return self.guidance * (1 - way if self.schedule == "falling" else way)

    def at(self, k: int, scales: int) -> Sampling:
        """How scale k is drawn: with cooling at temperature 1 + (T - 1) (k / (K - 1))^2.

        Coarse scales, which say what there is, are drawn freely and fine ones with care.
        At a scale that is ``sure`` there is nothing to draw.
        """
        if k in self.sure:
            return replace(self, top_k=1, sure=(), cooling=False)
        if not self.cooling:
            return self
        way = (k / max(scales - 1, 1)) ** 2
        return replace(self, temperature=1 + (self.temperature - 1) * way, cooling=False)

    def is_soft(self, k: int, scales: int) -> bool:
        """Whether scale k takes the expected code vector instead of a drawn one."""
        return k >= scales - self.soft_scales


def sampling_over(
    sampling: Sampling, scales: tuple[int, ...], practised: tuple[int, ...]
) -> Sampling:
    """The same for a schedule of a model that has ``practised`` drawing some sides only.

    At others, and above the largest, a draw would be a guess: the likeliest token is taken there,
    and from the first larger one on guidance is full (Jiao et al., released code).
    """
    if not practised:
        return sampling
    larger = [k for k, side in enumerate(scales) if side > max(practised)]
    sure = tuple(k for k, side in enumerate(scales) if side not in practised)
    return replace(sampling, sure=sure, full_from=larger[0] if larger else None)


def begun(scales: tuple[int, ...]) -> int:
    """The scale after which the best of many candidates are told from the others: the last one up
    to which there is at most a quarter of all tokens, so that what is given up has cost little."""
    total, so_far, found = sum(side * side for side in scales), 0, 0
    for k, side in enumerate(scales):
        so_far += side * side
        if so_far <= BEGUN * total:
            found = k
    return found


@dataclass(frozen=True, kw_only=True)
class Finish:
    """How a drawn picture goes back into the canvas.

    ``blend`` "membrane" spreads what differs on the known rim smoothly over the edit; ``detail``
    "picture" makes it anew from patches of the picture that look like it; ``feather`` fades it in,
    in canvas pixels.
    """

    blend: str
    detail: str
    feather: int


# What ``composition`` stands for, beside so many scales that are kept.
GENTLE = {"fill": "none", "grow": 0, "detail": "model", "studio": False, "backdrop": False}


def _gentle(options: EditOptions) -> EditOptions:
    """The same with what keeping the composition stands for, where nothing else is asked for."""
    if not options.composition:
        return options
    wanted = {"structure": options.composition, **GENTLE}
    open_ = {name: value for name, value in wanted.items() if getattr(options, name) is None}
    return options.model_copy(update=open_)


def decide(
    options: EditOptions, situation: Situation
) -> tuple[Keeping, Sampling, Finish, Mapping[str, Any]]:
    """What is kept, drawn and finished how, and the value of every lever.

    Unlabelled edits keep the coarser scales of the filled picture, which carry colour and light
    across the hole; class edits and new pictures draw all of them, but where the middle of a class
    edit's frame is known. Inpainting does not believe the rim of its hole, since a mask may be too
    tight around what is to go; unless the hole surrounds the known area.
    """
    options = _gentle(options)
    chosen = options.decided(situation)
    paper = situation.paper
    beside = situation.kept if situation.task == "edit_class" and not paper else chosen["structure"]
    level = "push_pull" if situation.task in ("edit_class", "generate") else "telea"
    half_known = HALF_KNOWN if situation.unlabelled else HALF_KNOWN_LABELLED
    keeping = Keeping(
        paper=paper,
        structure=chosen["structure"],
        structure_beside=beside if options.structure is None else options.structure,
        fill=chosen["fill"],
        fill_beside=options.fill or ("none" if paper else level),
        grow=chosen["grow"],
        grow_around=options.grow or 0,
        half_known=0.0 if paper else half_known,
        foresight=situation.foresight and not paper,
    )
    sampling = Sampling(
        guidance=chosen["guidance"],
        schedule=chosen["guidance_schedule"],
        top_k=chosen["top_k"],
        top_p=chosen["top_p"],
        temperature=chosen["temperature"],
        cooling=chosen["temperature_schedule"] == "falling",
        soft_scales=chosen["soft_scales"],
    )
    sampling = sampling_over(sampling, situation.scales, situation.practised)
    finish = Finish(blend=chosen["blend"], detail=chosen["detail"], feather=chosen["feather"])
    return keeping, sampling, finish, chosen
