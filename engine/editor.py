"""The editor: inpaint, outpaint, edit_class, generate.

An edit is a fold: a plan's passes, frame by frame, over a canvas. What is decided of it is in the
plan (`engine.plan.plan`), what the networks make of a frame in the runner (`engine.runner`), what
becomes of that in the canvas (`engine.paint.canvas`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, replace

import torch
from PIL import Image
from torch import Tensor

from engine.arrays import RGB, Floats
from engine.draw.loop import ScaleStep
from engine.draw.maps import coverage
from engine.events import PREVIEW_SIDE, Detailing, Event, Finished, Painted, Result, ScaleDone
from engine.machine.device import out_of_memory
from engine.model.family import Model
from engine.paint.canvas import Canvas
from engine.paint.foreign import holds_something
from engine.paint.ranking import Drawn, Tally, best_first
from engine.paint.rough import rough_pictures
from engine.paint.studio import staged
from engine.picture.frame import Frame
from engine.picture.source import Source, blank, extend
from engine.plan.card import Card
from engine.plan.plan import Pass, Plan, plan
from engine.plan.shapes import holds_thing
from engine.request import EditRequest, MaskLike
from engine.request.options import EditOptions
from engine.runner import Runner, for_each

NOTHING = "nothing could be told from the ground that it was drawn on; try another seed"
STAGED = "{}: says nothing of a thing that is drawn before a plain ground"

log = logging.getLogger(__name__)


class Editor:
    """Edits pictures with one model. Calls may run side by side; what is kept from one to the
    next (`engine.runner`) saves work and changes no result."""

    def __init__(self, model: Model, card: Card) -> None:
        self.model = model
        self.card = card
        self.runner = Runner(model)

    @property
    def name(self) -> str:
        return self.card.name

    @property
    def side(self) -> int:
        """Side of the model's square in pixels."""
        return self.card.side

    @property
    def scales(self) -> tuple[int, ...]:
        return self.card.scales

    @property
    def labels(self) -> list[str]:
        """Class names, one per id; names that repeat carry their id."""
        return self.card.labels.choices()

    @property
    def device(self) -> torch.device:
        return self.runner.device

    def inpaint(
        self,
        image: Image.Image,
        mask: MaskLike,
        label: str | int | None = None,
        options: EditOptions | None = None,
    ) -> Result:
        """Regenerate what ``mask`` covers: white (True) is regenerated, all else stays as it is."""
        options = options or EditOptions()
        return self.run(
            EditRequest(task="inpaint", image=image, mask=mask, label=label, options=options)
        )

    def outpaint(
        self,
        image: Image.Image,
        *,
        left: int | str = 0,
        right: int | str = 0,
        top: int | str = 0,
        bottom: int | str = 0,
        label: str | int | None = None,
        options: EditOptions | None = None,
    ) -> Result:
        """Extend the picture by pixels (256) or parts of its side ("25%")."""
        return self.run(
            EditRequest(
                task="outpaint", image=image, left=left, right=right, top=top, bottom=bottom,
                label=label, options=options or EditOptions(),
            )
        )  # fmt: skip

    def edit_class(
        self,
        image: Image.Image,
        mask: MaskLike,
        label: str | int,
        options: EditOptions | None = None,
    ) -> Result:
        """Turn what ``mask`` covers into something of class ``label``."""
        options = options or EditOptions()
        return self.run(
            EditRequest(task="edit_class", image=image, mask=mask, label=label, options=options)
        )

    def generate(
        self, label: str | int | None = None, options: EditOptions | None = None
    ) -> Result:
        """A new picture of the model's own size."""
        return self.run(
            EditRequest(task="generate", label=label, options=options or EditOptions())
        )

    def run(self, request: EditRequest) -> Result:
        """Carry out a request to its end."""
        *_, last = self.steps(request)
        assert isinstance(last, Finished)
        return last.result

    def plan(self, request: EditRequest) -> Plan:
        """What an edit will do, all checks made; a seed is drawn if there is none."""
        options = request.options.with_seed()
        return plan(request.model_copy(update={"options": options}), self.card)

    def steps(
        self, request: EditRequest, *, work: int | None = None, memory: int | None = None
    ) -> Iterator[Event]:
        """Carry out a request scale by scale. Closing the iterator cancels before the next scale.

        The request is checked here, before the first event is asked for. ``work`` and ``memory``
        are the most that it may take (`engine.plan.plan.Plan`): RequestError if it takes more.
        """
        decided = self.plan(request)
        decided.require(work, memory)
        return self._carried_out(decided, self._bare(decided, request.image))

    def warm(self, request: EditRequest) -> None:
        """Do ahead of an edit what its fast mode (``speed="fast"``) needs; safe in the background.

        Without a mask: for an edit that sees the whole picture. What was done is done once; what
        no fast mode serves, such as "generate", "outpaint" or a studio, costs nothing.
        """
        if request.image is None or request.task not in ("inpaint", "edit_class"):
            return
        any_mask = request.mask is None and not request.regions
        decided = plan(request, self.card, any_mask=any_mask)
        canvas = self._bare(replace(decided, box=(0, 0, *decided.size)), request.image)
        for one in decided.passes:
            bare = canvas.afresh(one.mask)
            for window in one.windows:
                frames = bare.frames(window, one.side)
                if not _in_studio(one, frames):
                    self.runner.at(one.scales).study(one, frames[0])

    def _bare(self, decided: Plan, image: Image.Image | None) -> Canvas:
        """The canvas of an edit before anything is painted."""
        source = blank(decided.size) if image is None else Source(image)
        if any(decided.margins):
            source = extend(source, decided.margins)
        return Canvas.of(source, [one.mask for one in decided.drawn], decided.box)

    def _carried_out(self, decided: Plan, canvas: Canvas) -> Iterator[Event]:
        """The fold: each pass in its turn shows the model what it sees, frame by frame, lets it
        draw, and puts the result back."""
        began, turn = time.perf_counter(), 0
        progress = _Progress(decided)
        tally, notes = Tally(decided.seeds), list(decided.notes)
        for one in decided.passes:
            if one.role == "behind":
                shown, told = yield from self._behind(one, canvas, progress)
                canvas = replace(canvas, behind=shown)
            else:
                canvas, told = yield from self._pass(one, canvas.turned_to(turn), progress, tally)
                turn += 1
            notes += told
        scores = tally.scores()
        chosen = best_first(scores) if decided.ranked else list(range(len(scores)))
        chosen = chosen[: decided.shown]
        images = canvas.finished(chosen)
        yield Finished(
            Result(
                images=images,
                seeds=tuple(tally.seeds[index] for index in chosen),
                seconds=time.perf_counter() - began,
                request=decided.request,
                scores=tuple(scores[index] for index in chosen),
                notes=tuple(dict.fromkeys(notes)),
            )
        )

    def _behind(
        self, one: Pass, canvas: Canvas, progress: _Progress
    ) -> Generator[Event, None, tuple[RGB, list[str]]]:
        """What a thing is put before: the hole of all parts, inpainted, or the picture as it was.
        It is remembered, since every seed has the same."""
        bare, notes = canvas.afresh(one.mask), list[str]()
        kept = one.around == "keep"
        if one.around == "auto":
            kept = not holds_something(bare.pictures[0], bare.masks[0])
        if kept:
            progress.skip(one)
            return bare.pictures[0], notes
        key = ("backdrop", bare.name, one.windows, one.keeping, one.sampling, one.fast, one.scales)
        shown: RGB | None = self.runner.memory.get(key)
        if shown is None:
            bare, notes = yield from self._pass(one, bare, progress, Tally(one.seeds))
            (shown,) = bare.pictures
            if not notes:  # what memory was too short for is made anew, in the hope of more
                self.runner.memory.put(key, shown, shown.nbytes)
        else:
            progress.skip(one)
        return shown, notes

    def _pass(
        self, one: Pass, canvas: Canvas, progress: _Progress, tally: Tally
    ) -> Generator[Event, None, tuple[Canvas, list[str]]]:
        """One pass: the canvas with it, and notes on what did not go as asked."""
        notes, in_studio = list[str](), False
        for number, window in enumerate(one.windows, one.first):
            seen = canvas.frames(window, one.side)
            if canvas.behind is not None and _in_studio(one, seen):
                seen, in_studio = [staged(seen[0])], True
                notes += [STAGED.format(name) for name in one.unheard]
            known = [] if one.role == "new" else seen
            run, drawn = self.runner.at(one.scales).run(one, known, number), None
            for scale in run.steps():
                if scale.index + 1 == len(one.scales):
                    drawn = run.drawn(scale)  # before it is told, so that it can be looked at
                sketch = _Sketch(self, run.one, canvas, seen, scale, drawn)
                yield progress.scale_done(scale, sketch)
            drawn, one = drawn or run.drawn(scale), run.one
            tally.choose(run.chosen)
            tally.add(drawn, known, guided=one.guided)
            canvas = canvas.painted(one, seen, drawn.pictures)
            notes += [*drawn.notes, *(f"seed {one.seeds[i]}: {NOTHING}" for i in canvas.missing)]
            yield progress.painted(one, seen, drawn.pictures, tally.scores())
        if one.finish.detail == "picture" and not in_studio:
            canvas = yield from _detailed(one, canvas, len(one.scales))
        return canvas, notes

    def preview(self, sketch: _Sketch, count: int | None) -> list[Image.Image]:
        """The canvas as it would be with a scale's feature map in it, scaled down."""
        one, canvas, seen, scale = sketch.one, sketch.canvas, sketch.seen, sketch.scale
        total, wanted = len(one.seeds), min(count or one.shown, one.shown)
        maps = scale.feature_map
        # Until something is drawn one picture stands for all variations.
        alike = len(maps) == len(seen) == len(canvas.pictures) == 1
        different = 1 if alike else wanted
        some = maps[: -(-different * len(maps) // total)]
        pictures = None if sketch.drawn is None else list(sketch.drawn.pictures)
        grey = one.role == "new" or seen[0].studio  # all that is known
        if pictures is None and not grey:  # a decoder would add no detail to what is coarse
            cells = coverage(torch.from_numpy(seen[0].mask), maps.shape[-1]) == 0
            pictures = rough_pictures(maps, [frame.pixels for frame in seen], cells)
        if pictures is None:
            pictures = sketch.computed(self.runner.at(one.scales).decode, some)
            pictures += pictures[-1:] * (len(maps) - len(some))  # not to be shown
        shown = canvas.preview(one, seen, for_each(pictures, total), PREVIEW_SIDE, different)
        return shown * (wanted if alike else 1)


def _in_studio(one: Pass, seen: list[Frame]) -> bool:
    """Whether a frame's mask is one that a thing may be wanted in, and the pass draws things."""
    return one.studio and holds_thing(seen[0].mask)


def _detailed(one: Pass, canvas: Canvas, scales: int) -> Generator[Event, None, Canvas]:
    """The canvas with the picture's own detail in what was painted."""
    work = canvas.detailed(one, scales)
    while True:
        try:
            yield Detailing(next(work))
        except StopIteration as end:
            finer: Canvas = end.value
            return finer


@dataclass(frozen=True)
class _Sketch:
    """A scale's preview, until somebody looks: all that it needs, none of which changes. ``drawn``
    is there after the last scale; ``worker`` is the thread in which networks compute, None for the
    one that looks."""

    editor: Editor
    one: Pass
    canvas: Canvas
    seen: list[Frame]
    scale: ScaleStep
    drawn: Drawn | None = None
    worker: Executor | None = None

    def computed(self, work: Callable[[Tensor], list[Floats]], maps: Tensor) -> list[Floats]:
        return work(maps) if self.worker is None else self.worker.submit(work, maps).result()

    def pictures(self, count: int | None) -> list[Image.Image]:
        try:
            return self.editor.preview(self, count)
        except Exception as error:  # each library has its own for that
            if not out_of_memory(error):
                raise
            log.info("no preview for want of memory: %s", error)
            return []


class _Progress:
    """Counts the events of an edit, of which there is one a scale and frame."""

    def __init__(self, decided: Plan) -> None:
        self._scales = len(decided.passes[0].scales)
        self._frames = sum(len(one.windows) for one in decided.passes)
        self._frame = 0

    def skip(self, one: Pass) -> None:
        """A pass that need not be drawn."""
        self._frames -= len(one.windows)

    def scale_done(self, scale: ScaleStep, sketch: _Sketch) -> ScaleDone:
        index = self._frame * self._scales + scale.index
        of = self._frames * self._scales
        return ScaleDone(index, of, scale.side, self._frame, self._frames, sketch)

    def painted(
        self, one: Pass, seen: list[Frame], pictures: tuple[Floats, ...], scores: list[float]
    ) -> Painted:
        self._frame += 1
        return Painted(
            self._frame - 1, self._frames, one.role, tuple(seen), pictures, tuple(scores)
        )
