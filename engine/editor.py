"""The editor: inpaint, outpaint, edit_class, generate.

Everything above this file speaks of requests and pictures, everything below of arrays and tensors.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from engine.errors import MaskError, RequestError
from engine.fill import Floats
from engine.frame import TOUCHED, Frame
from engine.generation import (
    Keeper,
    Recall,
    ScaleStep,
    TransformerPredictor,
    closed_loop,
    generate,
    replay,
)
from engine.labels import Labels
from engine.masks import coverage, finest_keep, paper_maps, regenerate_maps
from engine.memory import Memory, fingerprint
from engine.model.var import VAR
from engine.model.vqvae import VQVAE
from engine.painting import Painting
from engine.pixels import Mask, Source, extend, to_bytes, to_floats, to_tensor
from engine.preview import rough_pictures
from engine.ranking import best_first, score, seam
from engine.regions import painting_order
from engine.request import MAX_SEED, EditOptions, EditRequest, MaskLike, mask_array
from engine.result import PREVIEW_SIDE, Result, Step
from engine.rules import Rule, rule_for
from engine.sampling import Sampling
from engine.windows import Window, bounding_box, march, windows_for

REMEMBERED = 256_000_000  # bytes of encoded pictures and begun runs, for edits that come after
SLOW_DECODER = 30e6  # weights of a decoder that a CPU takes long for


@dataclass(frozen=True)
class Job:
    """All an edit needs once the request has been checked.

    ``seeds`` has one seed a candidate, of which the best ``request.options.variations`` are shown.
    """

    request: EditRequest
    rule: Rule
    sampling: Sampling
    label: int | None
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Part:
    """What is painted in one go: a mask (H, W), what the model sees of it, and its class."""

    mask: Mask
    windows: list[Window]
    label: int | None


class Editor:
    """Edits pictures with one model. Calls may run side by side; what is kept from one to the
    next (`memory`) saves work and changes no result."""

    def __init__(
        self,
        vqvae: VQVAE,
        var: VAR,
        *,
        labels: Labels,
        name: str = "custom",
        about: str = "",
        source: str = "",
        defaults: Mapping[str, float] | None = None,
    ) -> None:
        self.vqvae = vqvae
        self.var = var
        self.label_names = labels
        self.name = name
        self.about = about
        self.source = source
        self.defaults = dict(defaults or {})
        self.memory = Memory(REMEMBERED)

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
        weights = sum(parameter.numel() for parameter in self.vqvae.decoder.parameters())
        return self.device.type == "cpu" and weights > SLOW_DECODER

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
        rule = rule_for(task, options, self.scales, self.defaults)
        sampling = Sampling(
            guidance=rule.guidance if label is not None else 0.0,
            schedule=rule.guidance_schedule,
            top_k=rule.top_k,
            top_p=rule.top_p,
            temperature=options.temperature,
            soft_scales=rule.soft_scales,
        )
        return Job(resolved, rule, sampling, label, seeds)

    def views(self, request: EditRequest) -> list[Window]:
        """What the model would see, one window after the other, in the result's pixels.

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
            windows = windows_for(mask, side=self.side, context=request.options.context)
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
        bounding_box(mask)
        return mask

    def _edit(self, job: Job, source: Source, parts: list[Part]) -> Iterator[Step]:
        """Inpaint and edit_class: a frame around the mask, or one for each far-off part of it."""
        windows = [window for part in parts for window in part.windows]
        boxes = np.array([window.clip(source.width, source.height) for window in windows])
        left, top = (int(edge) for edge in boxes[:, :2].min(axis=0))
        right, bottom = (int(edge) for edge in boxes[:, 2:].max(axis=0))
        painting = Painting(source, [part.mask for part in parts], (left, top, right, bottom))
        return self._paint(job, painting, parts)

    def _outpaint(self, job: Job, source: Source) -> Iterator[Step]:
        """Extend the canvas, in overlapping frames where one is not enough."""
        margins, windows = self._extension(job.request, source)
        wide = extend(source, margins)
        left, top = margins[:2]
        new = np.ones((wide.height, wide.width), bool)
        new[top : top + source.height, left : left + source.width] = False
        painting = Painting(wide, [new], (0, 0, wide.width, wide.height))
        return self._paint(job, painting, [Part(new, windows, job.label)])

    def _paint(self, job: Job, painting: Painting, parts: list[Part]) -> Iterator[Step]:
        """Frame by frame: show the model the frame, let it draw, put the result back."""
        began = time.perf_counter()
        per_frame, count = len(self.scales), sum(len(part.windows) for part in parts)
        likelihood, drawn = torch.zeros(len(job.seeds), device=self.device), 0
        seams: list[list[float]] = [[] for _ in job.seeds]
        number = 0
        for place, part in enumerate(parts):
            painting.begin(place)
            labelled = replace(job, label=part.label)
            for window in part.windows:
                frames = painting.frames(window, self.side)
                for scale in self.regenerate(labelled, frames, number):
                    index = number * per_frame + scale.index
                    if index + 1 < per_frame * count:
                        preview = partial(self._preview, job, painting, frames, scale)
                        of = per_frame * count
                        yield Step(index, of, scale.side, number, count, None, preview)
                pictures = self.decode(scale.feature_map, len(job.seeds))
                for variation, picture in enumerate(pictures):
                    frame = frames[variation * len(frames) // len(pictures)]
                    seams[variation].append(seam(frame.pixels, picture, frame.mask > TOUCHED))
                painting.apply(frames, pictures, job.rule)
                likelihood, drawn = likelihood + scale.log_likelihood, drawn + scale.drawn
                number += 1
        means = (likelihood / max(drawn, 1)).tolist()
        scores = [score(mean, found) for mean, found in zip(means, seams, strict=True)]
        chosen = self._chosen(job, scores)
        yield self._last_step(job, painting.finish(chosen), scores, chosen, began, count)

    def _chosen(self, job: Job, scores: list[float]) -> list[int]:
        """Which candidates are shown: the best ones first, or all in the order of their seeds."""
        if job.request.options.candidates is None:
            return list(range(len(scores)))
        return best_first(scores)[: job.request.options.variations]

    def _preview(
        self, job: Job, painting: Painting, frames: list[Frame], scale: ScaleStep
    ) -> list[Image.Image]:
        pictures = None
        if self._decodes_slowly:
            known = coverage(torch.from_numpy(frames[0].mask), self.scales[-1]) == 0
            pictures = rough_pictures(scale.feature_map, [f.pixels for f in frames], known)
        if pictures is None:
            pictures = self.decode(scale.feature_map)
        pictures = [p for p in pictures for _ in range(len(job.seeds) // len(pictures))]
        shown = painting.preview(frames, pictures, job.rule, PREVIEW_SIDE)
        return shown[: job.request.options.variations]

    def _generate(self, job: Job) -> Iterator[Step]:
        """A whole new picture: nothing is known, every token is drawn."""
        began = time.perf_counter()

        def pictures(scale: ScaleStep) -> list[Image.Image]:
            floats = self.decode(scale.feature_map, len(job.seeds))
            return [Image.fromarray(to_bytes(picture)) for picture in floats]

        for scale in self.regenerate(job, [], 0):
            if scale.index + 1 < len(self.scales):
                preview = partial(pictures, scale)
                yield Step(scale.index, len(self.scales), scale.side, 0, 1, None, preview)
        scores = (scale.log_likelihood / max(scale.drawn, 1)).tolist()
        chosen = self._chosen(job, scores)
        every = pictures(scale)
        yield self._last_step(job, [every[index] for index in chosen], scores, chosen, began, 1)

    def _last_step(
        self,
        job: Job,
        images: list[Image.Image],
        scores: list[float],
        chosen: list[int],
        began: float,
        frames: int,
    ) -> Step:
        """The step with the result: ``images`` are those of the ``chosen`` seeds."""
        seconds = time.perf_counter() - began
        seeds = tuple(job.seeds[index] for index in chosen)
        best = tuple(scores[index] for index in chosen)
        result = Result(tuple(images), seeds, seconds, job.request, best)
        of = frames * len(self.scales)
        return Step(of - 1, of, self.scales[-1], frames - 1, frames, result)

    def regenerate(self, job: Job, frames: list[Frame], number: int) -> Iterator[ScaleStep]:
        """The model's part: encode what is known, then the next-scale loop.

        ``frames`` is one picture for all variations, one for each (with equal masks), or none.
        """
        rule, scales = job.rule, self.scales
        keeper: Keeper | None = None
        name = b""
        if not frames:
            maps = [torch.ones(side * side, dtype=torch.bool) for side in scales]
        else:
            mask = torch.from_numpy(frames[0].mask)
            if rule.paper:
                maps = paper_maps(finest_keep(mask, scales), scales)
            else:
                maps = regenerate_maps(mask, scales, fine=rule.coverage, structure=rule.structure)
            name, features = self._features(rule, frames)
            keeper = self._keeper(rule, features)
        guided = job.sampling.guidance > 0
        drawn = fingerprint(*(m.numpy() for m in maps))
        key = ("run", name, drawn, job.label, guided, rule.closed_loop)
        predictor = self._predictor(job, self.memory.get(key))
        try:
            yield from generate(
                predictor,
                self.vqvae.quantize,
                regenerate=maps,
                seeds=job.seeds,
                sampling=job.sampling,
                keeper=keeper,
                pictures=max(len(frames), 1),
                frame=number,
                coarse_seeds=job.request.options.coarse_seeds,
            )
        finally:
            recall = predictor.remembered()
            if recall is not None:
                self.memory.put(key, recall, recall.nbytes)

    @torch.inference_mode()
    def _predictor(self, job: Job, recall: Recall | None) -> TransformerPredictor:
        return TransformerPredictor(self.var, job.label, job.sampling, recall=recall)

    @torch.inference_mode()
    def _features(self, rule: Rule, frames: list[Frame]) -> tuple[bytes, Tensor]:
        """Features (P, z, S, S) of what is known, and a name that says whose they are."""
        known = np.stack([f.grown(rule.grow).filled(rule.fill).pixels for f in frames])
        name = fingerprint(known)
        features: Tensor | None = self.memory.get(("features", name))
        if features is None:
            features = self.vqvae.features(to_tensor(known).to(self.device)).float()
            self.memory.put(("features", name), features, features.nbytes)
        return name, features

    @torch.inference_mode()
    def _keeper(self, rule: Rule, features: Tensor) -> Keeper:
        if rule.closed_loop:
            return closed_loop(self.vqvae.quantize, features)
        maps, _ = self.vqvae.quantize.encode(features)
        return replay(maps)

    @torch.inference_mode()
    def decode(self, feature_map: Tensor, count: int | None = None) -> list[Floats]:
        """Pictures (side, side, 3) of 0..255 from feature maps (N, z, S, S), one at a time.

        With ``count`` each picture stands for count / N variations.
        """
        dtype = self.vqvae.post_quant_conv.weight.dtype
        pictures = [to_floats(self.vqvae.decode(one[None].to(dtype)))[0] for one in feature_map]
        times = (count or len(pictures)) // len(pictures)
        return [picture for picture in pictures for _ in range(times)]
