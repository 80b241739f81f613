"""The editor: inpaint, outpaint, edit_class, generate.

Everything above this file speaks of requests and pictures, everything below of arrays and tensors.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image

from engine.arrays import RGB, Floats, Mask, Window, to_bytes
from engine.draw.loop import ScaleStep
from engine.draw.maps import coverage
from engine.draw.sampling import Sampling
from engine.errors import MaskError, RequestError
from engine.events import PREVIEW_SIDE, Result, Step
from engine.machine.packed_conv import weight_count
from engine.model.var.transformer import VAR
from engine.model.var.vqvae import VQVAE
from engine.paint.canvas import Painting
from engine.paint.frame import TOUCHED, Frame
from engine.paint.ranking import best_first, score, seam
from engine.paint.rough import rough_pictures
from engine.picture.masks import mask_array
from engine.picture.source import Source, check_size, extend
from engine.plan.labels import Labels
from engine.plan.regions import painting_order
from engine.plan.rules import rule_for
from engine.plan.shapes import holds_thing
from engine.plan.windows import box_of, march, windows_for
from engine.request import MAX_SEED, EditOptions, EditRequest, MaskLike
from engine.runner import Job, Runner, for_each

NOTHING = "nothing could be told from the ground that it was drawn on; try another seed"
SLOW_DECODER = 30e6  # weights of a decoder that a CPU takes long for


@dataclass(frozen=True)
class Part:
    """What is painted in one go: a mask (H, W), what the model sees of it, and its class."""

    mask: Mask
    windows: list[Window]
    label: int | None


@dataclass(frozen=True)
class Behind:
    """What a class edit has as its backdrop: the hole of all parts, inpainted."""

    job: Job
    part: Part


def backdrop_options(asked: EditOptions) -> EditOptions:
    """The options of the inpainting that is the backdrop of a class edit with these."""
    return EditOptions(seed=0, context=asked.context, speed=asked.speed)


class Tally:
    """What ranks the candidates of an edit, added up over its frames."""

    def __init__(self, job: Job) -> None:
        self.labelled = job.label is not None and job.sampling.guidance > 0
        self.seams: list[list[float]] = [[] for _ in job.seeds]
        self.likelihood, self.evidence = np.zeros(len(job.seeds)), np.zeros(len(job.seeds))
        self.drawn = 0

    def add(self, last: ScaleStep, frames: list[Frame], pictures: list[Floats]) -> None:
        """A finished frame: its last step, what was known, and the model's output."""
        self.likelihood += last.log_likelihood.cpu().numpy()
        self.evidence += last.evidence.cpu().numpy()
        self.drawn += last.drawn
        for variation, picture in enumerate(pictures):
            frame = frames[variation * len(frames) // len(pictures)]
            if not frame.studio:  # what meets the ground there is cut away
                self.seams[variation].append(seam(frame.pixels, picture, frame.mask > TOUCHED))

    def scores(self) -> list[float]:
        """One score a candidate, higher is better (`engine.paint.ranking`)."""
        count = max(self.drawn, 1)
        return [
            score(float(likely) / count, seams, float(spoken) / count if self.labelled else None)
            for likely, spoken, seams in zip(
                self.likelihood, self.evidence, self.seams, strict=True
            )
        ]


class Editor:
    """Edits pictures with one model. Calls may run side by side; what is kept from one to the
    next (`engine.runner`) saves work and changes no result."""

    def __init__(
        self,
        vqvae: VQVAE,
        var: VAR,
        *,
        labels: Labels,
        name: str = "custom",
        about: str = "",
        source: str = "",
        defaults: Mapping[str, Any] | None = None,
    ) -> None:
        self.vqvae = vqvae
        self.var = var
        self.label_names = labels
        self.name = name
        self.about = about
        self.source = source
        self.defaults = dict(defaults or {})
        self.runner = Runner(vqvae, var)

    @property
    def side(self) -> int:
        """Side of the model's square in pixels."""
        return self.vqvae.spec.side

    @property
    def scales(self) -> tuple[int, ...]:
        return self.vqvae.spec.scales

    @property
    def labels(self) -> list[str]:
        """Class names, one per id; names that repeat carry their id."""
        return self.label_names.choices()

    @property
    def _decodes_slowly(self) -> bool:
        """Whether decoding at every scale would cost more than the edit itself."""
        return self.device.type == "cpu" and weight_count(self.vqvae.decoder) > SLOW_DECODER

    @property
    def device(self) -> torch.device:
        return self.var.pos_start.device

    def inpaint(
        self,
        image: Image.Image,
        mask: MaskLike,
        label: str | int | None = None,
        options: EditOptions | None = None,
    ) -> Result:
        """Regenerate what ``mask`` covers: white (True) is regenerated, all else stays as it is."""
        return self.run(
            EditRequest(
                task="inpaint",
                image=image,
                mask=mask,
                label=label,
                options=options or EditOptions(),
            )
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
                task="outpaint",
                image=image,
                left=left,
                right=right,
                top=top,
                bottom=bottom,
                label=label,
                options=options or EditOptions(),
            )
        )

    def edit_class(
        self,
        image: Image.Image,
        mask: MaskLike,
        label: str | int,
        options: EditOptions | None = None,
    ) -> Result:
        """Turn what ``mask`` covers into something of class ``label``."""
        return self.run(
            EditRequest(
                task="edit_class",
                image=image,
                mask=mask,
                label=label,
                options=options or EditOptions(),
            )
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
        result: Result | None = None
        for step in self.steps(request):
            result = step.result
        assert result is not None
        return result

    def steps(self, request: EditRequest) -> Iterator[Step]:
        """Carry out a request scale by scale. Closing the iterator cancels before the next scale.

        The request is checked here, before the first step is asked for.
        """
        job = self.prepare(request)
        if request.task == "generate":
            return self._generate(job)
        assert request.image is not None
        source = Source(request.image)
        if request.task == "outpaint":
            return self._outpaint(job, source)
        return self._edit(job, source, self._parts(request, source))

    def prepare(self, request: EditRequest) -> Job:
        """Check a request against this model and fill in what it leaves open."""
        task = request.task
        self._check_regions(request)
        if task == "edit_class" and request.label is None and not request.regions:
            raise RequestError("edit_class needs a label; choose one of the model's classes")
        if task != "generate" and request.image is None:
            raise RequestError(f"{task} needs a picture; give one")
        if task in ("inpaint", "edit_class") and request.mask is None and not request.regions:
            raise MaskError(f"{task} needs a mask; paint over the part that is to be regenerated")
        if request.model not in (None, "auto", self.name):
            raise RequestError(
                f"the request is for model {request.model!r}, but {self.name!r} is loaded; "
                f"load {request.model!r} or leave the model out"
            )
        asked = request.regions[0].label if request.regions else request.label
        label = None if asked is None else self.label_names.find(asked)
        options = request.options.with_seed()
        first, count = options.seed or 0, options.candidates or options.variations
        if count < options.variations:
            raise RequestError(
                f"candidates: {count} are too few for {options.variations} variations; "
                f"draw at least as many as are to be shown"
            )
        seeds = tuple((first + index) % (MAX_SEED + 1) for index in range(count))
        resolved = request.model_copy(update={"options": options, "model": self.name})
        foresight = self.var.spec.foresight
        if options.foresight and not foresight:
            raise RequestError(
                f"foresight: {self.name!r} was not trained for it; leave the option out"
            )
        scenery = label is not None and self.label_names.is_scenery(label)
        rule = rule_for(
            task, options, self.scales, self.defaults, foresight=foresight, scenery=scenery
        )
        if options.studio and task == "edit_class" and not rule.backdrop:
            raise RequestError("studio: needs a backdrop around the thing; set backdrop as well")
        sampling = Sampling(
            guidance=rule.guidance if label is not None else 0.0,
            schedule=rule.guidance_schedule,
            top_k=rule.top_k,
            top_p=rule.top_p,
            temperature=rule.temperature,
            cooling=rule.temperature_schedule == "falling",
            soft_scales=rule.soft_scales,
        )
        return self._drawing(Job(resolved, rule, sampling, label, seeds, ()), label)

    def warm(self, request: EditRequest) -> None:
        """Do ahead of an edit what its fast mode (``speed="fast"``) needs; safe in the background.

        Without a mask: for an edit that sees the whole picture. What was done is done once; what
        no fast mode serves, such as "generate", "outpaint" or a studio, costs nothing.
        """
        if request.image is None or request.task not in ("inpaint", "edit_class"):
            return
        source = Source(request.image)
        everything = np.ones((source.height, source.width), bool)
        any_mask = request.mask is None and not request.regions
        if any_mask:
            request = request.model_copy(update={"mask": everything})
        job = self.prepare(request)
        picture = Painting(source, [everything], (0, 0, source.width, source.height))
        parts = self._parts(request, source)
        work = [(self._drawing(job, part.label), part) for part in parts]
        behind = self._behind(job, source, parts, whole=any_mask)
        if behind is not None:
            work.append((behind.job, behind.part))
        for labelled, part in work:
            painting = picture.afresh([part.mask])
            for window in part.windows:
                (frame,) = painting.frames(window, self.side)
                if behind is None or not self.staged(labelled, [frame])[0].studio:
                    self.runner.study(labelled, frame)

    def views(self, request: EditRequest) -> list[Window]:
        """What the model would see, one window after the other, in the result's pixels.

        Without those of a backdrop: they say where a thing is put, and how fine it can be.
        Empty for "generate". Raises like `steps` if the request has no picture or no mask.
        """
        self.prepare(request)
        if request.task == "generate":
            return []
        assert request.image is not None
        source = Source(request.image)
        if request.task == "outpaint":
            return self._extension(request, source)[1]
        return [window for part in self._parts(request, source) for window in part.windows]

    def staged(self, job: Job, frames: list[Frame]) -> list[Frame]:
        """The frames as the model sees them: one plain one if a thing is drawn in a studio.

        For an edit that has a backdrop, and a mask that a thing may be wanted in.
        """
        if not job.rule.studio or job.label is None:
            return frames
        thing = job.request.options.studio or self.label_names.is_thing(job.label)
        if not thing or not holds_thing(frames[0].mask):
            return frames
        return [frames[0].staged()]

    def _drawing(self, job: Job, label: int | None) -> Job:
        """The job with this label. A class that stands for several things draws one by the seed:
        that of the variation, or the one that all variations draw the first scale with."""
        keys = job.request.options.coarse_seeds[:1] * len(job.seeds) or job.seeds
        drawn = (None if label is None else self.label_names.drawn(label, key) for key in keys)
        return replace(job, label=label, labels=tuple(drawn))

    def _check_regions(self, request: EditRequest) -> None:
        """Regions belong to edit_class, stand instead of mask and label, and each is complete."""
        if not request.regions:
            return
        if request.task != "edit_class":
            raise RequestError(f"regions belong to edit_class; leave them out of {request.task}")
        if request.mask is not None or request.label is not None:
            raise RequestError("give either regions, or one mask with its label; not both")
        for number, region in enumerate(request.regions, 1):
            if region.mask is None:
                raise MaskError(f"region {number} needs a mask; paint over what is to change")
            self.label_names.find(region.label)

    def _parts(self, request: EditRequest, source: Source) -> list[Part]:
        """What inpaint and edit_class paint, in order: the mask, or region after region."""

        def part(given: MaskLike | None, label: int | str | None, name: str) -> Part:
            mask = self._mask(given, source, name)
            windows = windows_for(
                mask,
                side=self.side,
                context=request.options.context,
                filling=request.task == "edit_class",
            )
            return Part(mask, windows, None if label is None else self.label_names.find(label))

        if not request.regions:
            return [part(request.mask, request.label, "the mask")]
        parts = [
            part(region.mask, region.label, f"the mask of region {number}")
            for number, region in enumerate(request.regions, 1)
        ]
        return [parts[index] for index in painting_order([part.mask for part in parts])]

    def _extension(
        self, request: EditRequest, source: Source
    ) -> tuple[tuple[int, int, int, int], list[Window]]:
        """Margins (left, top, right, bottom) in pixels, and the windows that fill them."""
        left, right, top, bottom = request.margins(source.width, source.height)
        if not left + right + top + bottom:
            raise RequestError('outpaint needs an amount; give a side such as right=256 or "25%"')
        size = (source.width + left + right, source.height + top + bottom)
        check_size(size, "the extended picture")
        known = (left, top, left + source.width, top + source.height)
        return (left, top, right, bottom), march(known, size, side=self.side)

    def _mask(self, given: MaskLike | None, source: Source, name: str) -> Mask:
        assert given is not None
        mask = mask_array(given)
        if mask.shape != (source.height, source.width):
            raise MaskError(
                f"{name} is {mask.shape[1]}x{mask.shape[0]}, the picture "
                f"{source.width}x{source.height}; give a mask of the picture's size"
            )
        box_of(mask)
        return mask

    def _edit(self, job: Job, source: Source, parts: list[Part]) -> Iterator[Step]:
        """Inpaint and edit_class: a frame around the mask, or one for each far-off part of it."""
        behind = self._behind(job, source, parts)
        windows = [window for part in parts for window in part.windows]
        windows += behind.part.windows if behind is not None else []
        boxes = np.array([window.clip(source.width, source.height) for window in windows])
        left, top = (int(edge) for edge in boxes[:, :2].min(axis=0))
        right, bottom = (int(edge) for edge in boxes[:, 2:].max(axis=0))
        painting = Painting(source, [part.mask for part in parts], (left, top, right, bottom))
        return self._paint(job, painting, parts, behind)

    def _behind(
        self, job: Job, source: Source, parts: list[Part], *, whole: bool = False
    ) -> Behind | None:
        """The backdrop of a class edit, if its rule has one and anything of the picture is known,
        or the ``whole`` picture stands for any part of it.

        One for all variations, so that none of them depends on those beside it.
        """
        if not job.rule.backdrop:
            return None
        mask = np.logical_or.reduce([part.mask for part in parts])
        if mask.all() and not whole:
            return None
        request = job.request.model_copy(
            update={"task": "inpaint", "label": None, "regions": (), "mask": mask,
                    "options": backdrop_options(job.request.options)}
        )  # fmt: skip
        (part,) = self._parts(request, source)
        return Behind(self.prepare(request), part)

    def _outpaint(self, job: Job, source: Source) -> Iterator[Step]:
        """Extend the canvas, in overlapping frames where one is not enough."""
        margins, windows = self._extension(job.request, source)
        wide = extend(source, margins)
        left, top = margins[:2]
        new = np.ones((wide.height, wide.width), bool)
        new[top : top + source.height, left : left + source.width] = False
        painting = Painting(wide, [new], (0, 0, wide.width, wide.height))
        return self._paint(job, painting, [Part(new, windows, job.label)])

    def _paint(
        self, job: Job, painting: Painting, parts: list[Part], behind: Behind | None = None
    ) -> Iterator[Step]:
        """Frame by frame: show the model the frame, let it draw, put the result back."""
        began = time.perf_counter()
        frames = sum(len(part.windows) for part in parts)
        tally, notes, first = Tally(job), [], 0
        if behind is not None:
            bare = painting.afresh([behind.part.mask])
            key = ("backdrop", bare.name, tuple(behind.part.windows), behind.job.request.options)
            canvas: RGB | None = self.runner.memory.get(key)
            if canvas is None:
                first = len(behind.part.windows)
                notes += yield from self._frames(behind.job, bare, behind.part, 0, first + frames)
                canvas = bare.canvases[0]
                self.runner.memory.put(key, canvas, canvas.nbytes)
            painting.behind = canvas
        count, number = first + frames, 0
        for place, part in enumerate(parts):
            painting.begin(place)
            labelled = self._drawing(job, part.label)
            notes += yield from self._frames(
                labelled, painting, part, number, count, first=first, tally=tally
            )
            number += len(part.windows)
        scores = tally.scores()
        chosen = self._chosen(job, scores)
        yield self._last_step(job, painting.finish(chosen), scores, chosen, began, count, notes)

    def _frames(
        self,
        job: Job,
        painting: Painting,
        part: Part,
        number: int,
        count: int,
        *,
        first: int = 0,
        tally: Tally | None = None,
    ) -> Generator[Step, None, list[str]]:
        """Paint one part, and yield its steps but the very last one of all ``count`` frames.

        ``number`` is that of the part's first frame, in whose name noise is drawn; ``first`` frames
        were painted before those that count. Returns notes on what did not go as asked.
        """
        notes: list[str] = []
        of = len(self.scales) * count
        for place, window in enumerate(part.windows, number):
            frames = painting.frames(window, self.side)
            if painting.behind is not None:
                frames = self.staged(job, frames)
            run = self.runner.run(job, frames, place)
            for scale in run.steps():
                index = (first + place) * len(self.scales) + scale.index
                if index + 1 < of:
                    preview = partial(self._preview, job, painting, frames, scale)
                    yield Step(index, of, scale.side, first + place, count, None, preview)
            pictures = run.decode(scale.feature_map, len(job.seeds))
            if tally is not None:
                tally.add(scale, frames, pictures)
            painting.apply(frames, pictures, job.rule)
            notes += run.notes
            notes += [f"seed {job.seeds[index]}: {NOTHING}" for index in painting.missing]
        return notes

    def _chosen(self, job: Job, scores: list[float]) -> list[int]:
        """Which candidates are shown: the best ones first, or all in the order of their seeds."""
        if job.request.options.candidates is None:
            return list(range(len(scores)))
        return best_first(scores)[: job.request.options.variations]

    def _preview(
        self,
        job: Job,
        painting: Painting,
        frames: list[Frame],
        scale: ScaleStep,
        count: int | None,
    ) -> list[Image.Image]:
        variations, total = job.request.options.variations, len(job.seeds)
        wanted = min(count or variations, variations)
        # Until something is drawn one picture stands for all variations.
        alike = len(scale.feature_map) == len(frames) == len(painting.canvases) == 1
        different = 1 if alike else wanted
        some = scale.feature_map[: -(-different * len(scale.feature_map) // total)]
        pictures = None
        if self._decodes_slowly and not frames[0].studio:  # there all that is known is grey
            known = coverage(torch.from_numpy(frames[0].mask), self.scales[-1]) == 0
            pictures = rough_pictures(scale.feature_map, [f.pixels for f in frames], known)
        if pictures is None:
            pictures = self.runner.decode(some)
            pictures += pictures[-1:] * (len(scale.feature_map) - len(some))  # not to be shown
        pictures = for_each(pictures, total)
        shown = painting.preview(frames, pictures, job.rule, PREVIEW_SIDE, different)
        return shown * (wanted if alike else 1)

    def _generate(self, job: Job) -> Iterator[Step]:
        """A whole new picture: nothing is known, every token is drawn."""
        began = time.perf_counter()

        def shown(scale: ScaleStep, count: int | None) -> list[Image.Image]:
            each = len(job.seeds) // len(scale.feature_map)
            some = scale.feature_map[: None if count is None else -(-count // each)]
            floats = self.runner.decode(some, len(some) * each)[:count]
            return [Image.fromarray(to_bytes(picture)) for picture in floats]

        run = self.runner.run(job, [])
        for scale in run.steps():
            if scale.index + 1 < len(self.scales):
                preview = partial(shown, scale)
                yield Step(scale.index, len(self.scales), scale.side, 0, 1, None, preview)
        tally = Tally(job)
        tally.add(scale, [], [])
        scores = tally.scores()
        chosen = self._chosen(job, scores)
        floats = run.decode(scale.feature_map, len(job.seeds))
        images = [Image.fromarray(to_bytes(floats[index])) for index in chosen]
        yield self._last_step(job, images, scores, chosen, began, 1, run.notes)

    def _last_step(
        self,
        job: Job,
        images: list[Image.Image],
        scores: list[float],
        chosen: list[int],
        began: float,
        frames: int,
        notes: list[str],
    ) -> Step:
        """The step with the result: ``images`` are those of the ``chosen`` seeds."""
        seconds = time.perf_counter() - began
        seeds = tuple(job.seeds[index] for index in chosen)
        best = tuple(scores[index] for index in chosen)
        told = tuple(dict.fromkeys(notes))
        result = Result(tuple(images), seeds, seconds, job.request, best, told)
        of = frames * len(self.scales)
        return Step(of - 1, of, self.scales[-1], frames - 1, frames, result)
