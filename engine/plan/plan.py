"""From a request and a model's card to the edit: every check and every default, once, in advance.

Nothing below this room sees a request: it sees passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from engine.arrays import Box, Mask, Window
from engine.errors import MaskError, RequestError
from engine.plan.card import Card
from engine.plan.early import survivors
from engine.plan.regions import painting_order
from engine.plan.rules import Finish, Keeping, Sampling, decide
from engine.plan.windows import march, windows_for
from engine.request import EditRequest, MaskLike
from engine.request.masks import nothing_in, read_mask
from engine.request.options import MAX_SEED, EditOptions, Situation, Task
from engine.request.pictures import NOTES, check_size

Role = Literal["fill", "thing", "behind", "new"]
LARGE = 1 << 28  # bytes of results beyond which they are not all held in memory at once
AROUND = 1 / 8  # of a window's side: what may lend its detail beyond it, on each side ...
LEAST_AROUND = 96  # ... and in pixels at least
UNHEARD = ("blend", "detail")  # options that say nothing of a thing drawn in a studio


@dataclass(frozen=True, kw_only=True)
class Pass:
    """What is drawn in one go.

    ``role`` "fill" goes on with the surroundings or draws a class into them; "thing" draws one
    that is put before what a pass "behind" it has inpainted; "new" is a picture of which nothing
    is known. ``mask`` is (H, W) in canvas pixels; ``windows`` are what the model
    looks through, one after the other; ``first`` is the number of the first of them, in whose name
    noise is drawn. ``labels`` has for each of the ``seeds`` the class that it draws for ``label``.
    All variations are drawn, in these ``scales`` of squares of ``side`` pixels, and ``shown`` of
    them may be looked at meanwhile; or all are begun, and the best ``survivors`` by then are
    finished (`engine.plan.rules.begun`). In a ``studio`` a
    thing may be drawn before a plain ground, and what is ``around`` it is "new", or kept as it was
    ("keep", or "auto" where nothing has to go); options that were given and say nothing then are
    ``unheard``.
    """

    role: Role
    mask: Mask
    windows: tuple[Window, ...]
    first: int
    seeds: tuple[int, ...]
    coarse_seeds: tuple[int, ...]
    label: int | None
    labels: tuple[int | None, ...]
    keeping: Keeping
    sampling: Sampling
    finish: Finish
    fast: bool
    shown: int
    side: int
    scales: tuple[int, ...]
    survivors: int | None = None
    studio: bool = False
    around: str = "new"
    unheard: tuple[str, ...] = ()

    @property
    def guided(self) -> bool:
        """Whether a label pulls."""
        return self.label is not None and self.sampling.guidance > 0

    def __repr__(self) -> str:
        windows = ", ".join(f"{w.side} at {w.left},{w.top}" for w in self.windows)
        return (
            f"Pass({self.role}: {int(self.mask.sum())} pixels, windows [{windows}], "
            f"labels {self.labels}, seeds {self.seeds}, {self.keeping}, {self.sampling}, "
            f"{self.finish})"
        )


@dataclass(frozen=True, kw_only=True)
class Plan:
    """An edit, decided. ``size`` (width, height) is that of the canvas, which is larger than the
    picture by ``margins`` (left, top, right, bottom); ``box`` the part of it that is looked at.

    ``passes`` come in order. ``shown`` of the candidates, one for each of the ``seeds``, are
    returned: the best ones where they are ``ranked``, else the first. Each frame takes so many
    ``scales``. ``request`` is what a result says it was made from, every choice of chance in it.
    """

    request: EditRequest
    size: tuple[int, int]
    margins: tuple[int, int, int, int]
    box: Box
    passes: tuple[Pass, ...]
    seeds: tuple[int, ...]
    shown: int
    ranked: bool
    scales: int
    notes: tuple[str, ...] = ()

    @property
    def work(self) -> int:
        """What there is to draw: frames x variations x scales."""
        return sum(len(each.windows) * len(each.seeds) for each in self.passes) * self.scales

    @property
    def memory(self) -> int:
        """About the bytes that its pictures take: the source in several forms, what is seen of it
        for each variation before and after a pass, masks, and the results."""
        (width, height), (left, top, right, bottom) = self.size, self.box
        seen = (right - left) * (bottom - top) * 3 * (2 * len(self.seeds) + 3)
        results = min(self.shown * width * height * 4, LARGE) + width * height * 8
        return width * height * (12 + len(self.passes)) + seen + results

    def require(self, work: int | None, memory: int | None) -> None:
        """RequestError if more is to be done, or held, than so much; None is any amount."""
        if work is not None and self.work > work:
            raise RequestError(
                f"this is too much at once: {self.work} scales to draw (frames x variations x "
                f"scales), and {work} is the bound; draw fewer variations, or extend by less at a "
                "time"
            )
        if memory is not None and self.memory > memory:
            raise RequestError(
                f"this is too large at once: its pictures take about {self.memory / 1e9:.1f} GB, "
                f"and {memory / 1e9:.1f} GB is the bound; draw fewer variations, or scale the "
                "picture down"
            )

    @property
    def drawn(self) -> tuple[Pass, ...]:
        """The passes that are asked for: all but what is put behind them."""
        return tuple(each for each in self.passes if each.role != "behind")

    @property
    def windows(self) -> list[Window]:
        """What the model will look through, in the result's pixels; none for a new picture."""
        return [w for each in self.drawn if each.role != "new" for w in each.windows]

    @property
    def mask(self) -> Mask:
        """All that is regenerated, (H, W)."""
        return _any([each.mask for each in self.drawn])


@dataclass(frozen=True)
class _Part:
    """A mask with its windows and its class, and notes on how it was read."""

    mask: Mask
    windows: tuple[Window, ...]
    label: int | None
    notes: tuple[str, ...] = ()


def plan(request: EditRequest, card: Card, *, any_mask: bool = False) -> Plan:
    """Check a request against a model and fill in what it leaves open.

    Pure: the same request and card give the same plan; a request without a seed is planned with
    seed 0. With ``any_mask`` a mask that is not known yet may still lie anywhere: the plan is for
    what such edits have in common. Raises RequestError, MaskError or ImageError.
    """
    picture = request.size
    if any_mask and picture is not None:
        request = request.model_copy(update={"mask": np.ones(picture[::-1], bool)})
    _check(request, card)
    options = request.options
    card = card.drawing(options)
    seed, count = options.seed or 0, options.candidates or options.variations
    if count < options.variations:
        raise RequestError(
            f"candidates: {count} are too few for {options.variations} variations; "
            f"draw at least as many as are to be shown"
        )
    seeds = tuple((seed + index) % (MAX_SEED + 1) for index in range(count))
    margins, size, parts = _parts(request, picture, card)
    bare = not any_mask and bool(_any([part.mask for part in parts]).all())
    asked = request.regions[0].label if request.regions else request.label
    passes = _passes(request.task, options, asked, card, parts, seeds, bare=bare)
    if options.candidates is not None:
        few = survivors(request, len(passes[0].windows))
        passes = [replace(each, survivors=few) for each in passes]
    if passes[0].role == "thing":
        passes = [_behind(options, card, parts), *passes]
    seeded = options.model_copy(update={"seed": seed})
    named = request.model_copy(update={"model": card.name, "options": seeded})
    return Plan(
        request=named,
        size=size,
        margins=margins,
        box=(0, 0, *size) if any(margins) else _seen(passes, size),
        passes=tuple(passes),
        seeds=seeds,
        shown=options.variations,
        ranked=options.candidates is not None,
        scales=len(card.scales),
        notes=_told(request, parts),
    )


def _told(request: EditRequest, parts: list[_Part]) -> tuple[str, ...]:
    """What is to be said of how the picture and the masks were read."""
    opened = () if request.image is None else request.image.info.get(NOTES, ())
    notes = dict.fromkeys(note for part in parts for note in part.notes)
    return (*(opened if isinstance(opened, tuple) else ()), *notes)


def _check(request: EditRequest, card: Card) -> None:
    """What can be said without looking at a picture."""
    task = request.task
    if request.regions:
        if task != "edit_class":
            raise RequestError(f"regions belong to edit_class; leave them out of {task}")
        if request.mask is not None or request.label is not None:
            raise RequestError("give either regions, or one mask with its label; not both")
        for number, region in enumerate(request.regions, 1):
            if region.mask is None:
                raise MaskError(f"region {number} needs a mask; paint over what is to change")
            card.labels.find(region.label)
    if task == "edit_class" and request.label is None and not request.regions:
        raise RequestError("edit_class needs a label; choose one of the model's classes")
    if task != "generate" and request.image is None:
        raise RequestError(f"{task} needs a picture; give one")
    if task in ("inpaint", "edit_class") and request.mask is None and not request.regions:
        raise MaskError(f"{task} needs a mask; paint over the part that is to be regenerated")
    if request.model not in (None, "auto", card.name):
        raise RequestError(
            f"the request is for model {request.model!r}, but {card.name!r} is loaded; "
            f"load {request.model!r} or leave the model out"
        )


def _parts(
    request: EditRequest, picture: tuple[int, int] | None, card: Card
) -> tuple[tuple[int, int, int, int], tuple[int, int], list[_Part]]:
    """Margins (left, top, right, bottom), the canvas's size, and what is painted on it, in order:
    the mask, or region after region, or what extends the ``picture`` (width, height), or all of a
    new one."""
    label = None if request.label is None else card.labels.find(request.label)
    if request.task == "generate":
        everything = np.ones((card.side, card.side), bool)
        window = Window(0, 0, card.side)
        return (0, 0, 0, 0), (card.side, card.side), [_Part(everything, (window,), label)]
    assert picture is not None
    check_size(picture)
    width, height = picture
    if request.task == "outpaint":
        left, right, top, bottom = request.margins(width, height)
        if not left + right + top + bottom:
            raise RequestError('outpaint needs an amount; give a side such as right=256 or "25%"')
        size = (width + left + right, height + top + bottom)
        check_size(size, "the extended picture")
        new = np.ones(size[::-1], bool)
        new[top : top + height, left : left + width] = False
        known = (left, top, left + width, top + height)
        windows = tuple(march(known, size, side=card.side))
        return (left, top, right, bottom), size, [_Part(new, windows, label)]

    def part(given: MaskLike | None, name: str, label: int | None) -> _Part:
        assert given is not None
        mask, notes = read_mask(given)
        if not mask.any():
            raise MaskError(nothing_in(given))
        if mask.shape != (height, width):
            raise MaskError(
                f"{name} is {mask.shape[1]}x{mask.shape[0]}, the picture "
                f"{width}x{height}; give a mask of the picture's size"
            )
        return _Part(mask, _windows(mask, request.task, request.options, card), label, notes)

    if not request.regions:
        return (0, 0, 0, 0), (width, height), [part(request.mask, "the mask", label)]
    parts = [
        part(region.mask, f"the mask of region {number}", card.labels.find(region.label))
        for number, region in enumerate(request.regions, 1)
    ]
    ordered = [parts[index] for index in painting_order([part.mask for part in parts])]
    return (0, 0, 0, 0), (width, height), ordered


def _windows(mask: Mask, task: Task, options: EditOptions, card: Card) -> tuple[Window, ...]:
    return tuple(
        windows_for(mask, side=card.side, context=options.context, filling=task == "edit_class")
    )


def _passes(
    task: Task,
    options: EditOptions,
    asked: int | str | None,
    card: Card,
    parts: list[_Part],
    seeds: tuple[int, ...],
    *,
    bare: bool = False,
) -> list[Pass]:
    """One pass a part. ``bare``: nothing of the picture is known, so there is nothing to put a
    thing before."""
    label = None if asked is None else card.labels.find(asked)
    situation = Situation(
        task=task,
        scales=card.scales,
        recommended=card.recommended,
        foresight=card.foresight,
        labelled=label is not None,
        scenery=label is not None and card.labels.is_scenery(label),
        paper=options.rule == "paper",
        side=card.side,
        practised=card.practised,
    )
    keeping, sampling, finish, chosen = decide(options, situation)
    backdrop = bool(chosen["backdrop"]) and task == "edit_class"
    if options.studio and task == "edit_class" and not backdrop:
        raise RequestError("studio: needs a backdrop around the thing; set backdrop as well")
    backdrop = backdrop and not bare
    unheard = tuple(name for name in UNHEARD if getattr(options, name) is not None)
    passes, number = [], 0
    for part in parts:
        thing = part.label is not None and (options.studio or card.labels.is_thing(part.label))
        passes.append(
            Pass(
                role="thing" if backdrop else "new" if task == "generate" else "fill",
                mask=part.mask,
                windows=part.windows,
                first=number,
                seeds=seeds,
                coarse_seeds=options.coarse_seeds,
                label=part.label,
                labels=_drawn(card, part.label, seeds, options.coarse_seeds),
                keeping=keeping,
                sampling=sampling if part.label is not None else replace(sampling, guidance=0.0),
                finish=finish,
                fast=options.speed == "fast" and task != "outpaint",
                shown=options.variations,
                side=card.side,
                scales=card.scales,
                studio=bool(backdrop and chosen["studio"] and thing),
                unheard=unheard,
            )
        )
        number += len(part.windows)
    return passes


def _drawn(
    card: Card, label: int | None, seeds: tuple[int, ...], coarse_seeds: tuple[int, ...]
) -> tuple[int | None, ...]:
    """The class that each seed draws for a label: one that stands for several things draws one of
    them by the seed, or by that which all variations draw the first scale with."""
    keys = coarse_seeds[:1] * len(seeds) or seeds
    return tuple(None if label is None else card.labels.drawn(label, key) for key in keys)


def _behind(asked: EditOptions, card: Card, parts: list[_Part]) -> Pass:
    """The hole of all parts, inpainted: one for all variations, always with seed 0, so that none of
    them depends on those beside it."""
    options = EditOptions(seed=0, context=asked.context, speed=asked.speed, detail=asked.detail)
    mask = _any([part.mask for part in parts])
    part = _Part(mask, _windows(mask, "inpaint", options, card), None)
    (found,) = _passes("inpaint", options, None, card, [part], (0,))
    things = all(part.label is not None and card.labels.is_thing(part.label) for part in parts)
    unsure = asked.around == "auto" and not things  # scenery changes what is around it, too
    return replace(found, role="behind", around="new" if unsure else asked.around)


def _any(masks: Sequence[Mask]) -> Mask:
    """What any of the masks covers."""
    covered: Mask = np.logical_or.reduce(masks)
    return covered


def _seen(passes: list[Pass], size: tuple[int, int]) -> Box:
    """The part of the canvas that any window shows, and what lies around it where detail is taken
    from the picture."""
    boxes = np.array([
        _wider(window, each).within(*size) for each in passes for window in each.windows
    ])  # fmt: skip
    left, top = (int(edge) for edge in boxes[:, :2].min(axis=0))
    right, bottom = (int(edge) for edge in boxes[:, 2:].max(axis=0))
    return left, top, right, bottom


def _wider(window: Window, one: Pass) -> Window:
    more = max(round(window.side * AROUND), LEAST_AROUND) if one.finish.detail == "picture" else 0
    return Window(window.left - more, window.top - more, window.side + 2 * more)
