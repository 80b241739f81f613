"""The editor: inpaint, outpaint, edit_class, generate.

Everything above this file speaks of requests and pictures, everything below of arrays and tensors.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from engine.errors import MaskError, RequestError
from engine.frame import Floats, Frame, Window, bounding_box, march, place_window
from engine.generation import (
    Keeper,
    ScaleStep,
    TransformerPredictor,
    closed_loop,
    generate,
    replay,
)
from engine.labels import Labels
from engine.masks import finest_keep, paper_maps, regenerate_maps
from engine.model.var import VAR
from engine.model.vqvae import VQVAE
from engine.pixels import (
    RGB,
    Mask,
    Source,
    check_size,
    encode_png,
    same_outside,
    to_bytes,
    to_floats,
    to_tensor,
)
from engine.request import EditOptions, EditRequest, MaskLike, mask_array
from engine.rules import Rule, rule_for
from engine.sampling import Sampling

PREVIEW_SIDE = 768  # longer side of a preview in pixels


@dataclass(frozen=True)
class Result:
    """A finished edit: full-resolution pictures, and all that is needed to make them again."""

    images: tuple[Image.Image, ...]
    seeds: tuple[int, ...]
    seconds: float
    request: EditRequest
    scores: tuple[float, ...] = ()  # mean log-likelihood of the drawn tokens, higher is likelier

    def png(self, index: int = 0) -> bytes:
        """One picture as a PNG that carries the request which makes it again, alone."""
        return encode_png(self.images[index], self.request_of(index).to_json())

    def request_of(self, index: int) -> EditRequest:
        """The request that makes this picture alone."""
        alone = {"seed": self.seeds[index], "variations": 1}
        options = self.request.options.model_copy(update=alone)
        return self.request.model_copy(update={"options": options, "image": None, "mask": None})


@dataclass(frozen=True)
class Step:
    """One scale of one frame is done. ``result`` is set on the last step only."""

    index: int
    of: int
    scale: int
    frame: int
    frames: int
    result: Result | None = None
    _preview: Any = field(default=None, repr=False)

    def previews(self) -> list[Image.Image]:
        """The whole picture as it is now, one a variation, scaled down to fit 768 pixels."""
        if self.result is not None:
            return [_thumbnail(image) for image in self.result.images]
        return self._preview() if self._preview is not None else []


def _thumbnail(image: Image.Image) -> Image.Image:
    scale = min(1.0, PREVIEW_SIDE / max(image.size))
    if scale < 1 and image.mode in ("RGB", "RGBA", "L", "LA"):
        size = (max(round(image.width * scale), 1), max(round(image.height * scale), 1))
        image = image.resize(size, Image.Resampling.BOX, reducing_gap=2.0)
    return Image.fromarray(Source(image).view())


@dataclass(frozen=True)
class _Job:
    """All an edit needs once the request has been checked."""

    request: EditRequest
    rule: Rule
    sampling: Sampling
    label: int | None
    seeds: tuple[int, ...]


class Editor:
    """Edits pictures with one model. Calls may run side by side: no state is kept between them."""

    def __init__(
        self,
        vqvae: VQVAE,
        var: VAR,
        *,
        labels: Labels,
        name: str = "custom",
        about: str = "",
        source: str = "",
    ) -> None:
        self.vqvae = vqvae
        self.var = var
        self.label_names = labels
        self.name = name
        self.about = about
        self.source = source

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
                task="inpaint", image=image, mask=mask, label=label, options=options or EditOptions()
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
        job = self._check(request)
        if request.task == "generate":
            return self._generate(job)
        assert request.image is not None
        source = Source(request.image)
        if request.task == "outpaint":
            return self._outpaint(job, source)
        mask = self._mask(request, source)
        return self._edit(job, source, mask)

    def _check(self, request: EditRequest) -> _Job:
        task = request.task
        if task == "edit_class" and request.label is None:
            raise RequestError("edit_class needs a label; choose one of the model's classes")
        if task != "generate" and request.image is None:
            raise RequestError(f"{task} needs a picture; give one")
        if task in ("inpaint", "edit_class") and request.mask is None:
            raise MaskError(f"{task} needs a mask; paint over the part that is to be regenerated")
        if request.model not in (None, "auto", self.name):
            raise RequestError(
                f"the request is for model {request.model!r}, but {self.name!r} is loaded; "
                f"load {request.model!r} or leave the model out"
            )
        label = None if request.label is None else self.label_names.find(request.label)
        options = request.options.with_seed()
        seeds = tuple(
            (options.seed or 0) + index for index in range(options.variations)
        )
        resolved = request.model_copy(update={"options": options, "model": self.name})
        rule = rule_for(task, options, self.scales)
        sampling = Sampling(
            guidance=rule.guidance if label is not None else 0.0,
            top_k=rule.top_k,
            top_p=rule.top_p,
            temperature=options.temperature,
        )
        return _Job(resolved, rule, sampling, label, seeds)

    def _mask(self, request: EditRequest, source: Source) -> Mask:
        assert request.mask is not None
        mask = mask_array(request.mask)
        if mask.shape != (source.height, source.width):
            raise MaskError(
                f"the mask is {mask.shape[1]}x{mask.shape[0]}, the picture "
                f"{source.width}x{source.height}; give a mask of the picture's size"
            )
        bounding_box(mask)
        return mask

    def _edit(self, job: _Job, source: Source, mask: Mask) -> Iterator[Step]:
        """Inpaint and edit_class: one frame around the mask."""
        began = time.perf_counter()
        window = place_window(
            bounding_box(mask),
            source.width,
            source.height,
            side=self.side,
            context=job.request.options.context,
        )
        box = window.clip(source.width, source.height)
        part = mask[box[1] : box[3], box[0] : box[2]]
        local = Window(window.left - box[0], window.top - box[1], window.side)
        view = source.view(box)
        frame = Frame.cut(view, part, local, self.side)
        last: ScaleStep | None = None
        total = len(self.scales)
        for last in self._regenerate(job, [frame], 0):
            if last.index + 1 < total:
                preview = _Preview(self, job, source, frame, view, part, box, last)
                yield Step(last.index, total, last.side, 0, 1, None, preview)
        assert last is not None
        images = []
        for picture in self._decode(last.feature_map, len(job.seeds)):
            canvas = view.copy()
            frame.composite(
                canvas, part, picture, blend=job.rule.blend, feather=job.rule.feather
            )
            image = source.patch(box, canvas, part)
            assert same_outside(source.image, image, box, part), "a pixel outside the mask changed"
            images.append(image)
        yield self._finish(job, images, last, began, total, 1)

    def _outpaint(self, job: _Job, source: Source) -> Iterator[Step]:
        """Extend the canvas, in overlapping frames where one is not enough."""
        left, right, top, bottom = job.request.margins(source.width, source.height)
        if not left + right + top + bottom:
            raise RequestError('outpaint needs an amount; give a side such as right=256 or "25%"')
        width, height = source.width + left + right, source.height + top + bottom
        inner = (left, top, left + source.width, top + source.height)
        source_on_canvas = extend(source, (left, top, right, bottom))
        return self._march(job, source_on_canvas, inner, width, height)

    def _march(
        self, job: _Job, source: Source, inner: tuple[int, int, int, int], width: int, height: int
    ) -> Iterator[Step]:
        began = time.perf_counter()
        new = np.ones((height, width), bool)
        new[inner[1] : inner[3], inner[0] : inner[2]] = False
        unknown = new.copy()
        canvases = [source.view().copy()]
        windows = [
            w for w in march(inner, (width, height), side=self.side)
        ]
        windows = _needed(windows, unknown)
        total = len(windows) * len(self.scales)
        last: ScaleStep | None = None
        likelihood, drawn = torch.zeros(len(job.seeds), dtype=torch.float64), 0
        for number, window in enumerate(windows):
            frames = [Frame.cut(c, unknown, window, self.side) for c in canvases]
            for last in self._regenerate(job, frames, number):
                index = number * len(self.scales) + last.index
                if index + 1 < total:
                    preview = _MarchPreview(self, job, window, frames, canvases, unknown, last)
                    yield Step(index, total, last.side, number, len(windows), None, preview)
            assert last is not None
            likelihood, drawn = likelihood + last.log_likelihood, drawn + last.drawn
            pictures = self._decode(last.feature_map, len(job.seeds))
            if len(canvases) < len(pictures):
                canvases = [canvases[0].copy() for _ in pictures]
                frames = frames * len(pictures)
            for canvas, frame, picture in zip(canvases, frames, pictures, strict=True):
                frame.composite(canvas, unknown, picture, blend=job.rule.blend)
            box = window.clip(width, height)
            unknown[box[1] : box[3], box[0] : box[2]] = False
        assert last is not None and not unknown.any()
        everything = (0, 0, width, height)
        images = []
        for canvas in canvases:
            image = source.patch(everything, canvas, new)
            assert same_outside(source.image, image, everything, new), "a source pixel changed"
            images.append(image)
        done = ScaleStep(last.index, last.side, last.ids, last.feature_map, likelihood, drawn)
        yield self._finish(job, images, done, began, total, len(windows))

    def _generate(self, job: _Job) -> Iterator[Step]:
        began = time.perf_counter()
        total = len(self.scales)
        last: ScaleStep | None = None
        for last in self._regenerate(job, [], 0):
            if last.index + 1 < total:
                feature_map = last.feature_map

                def preview(feature_map: Tensor = feature_map) -> list[Image.Image]:
                    return [Image.fromarray(to_bytes(p)) for p in self._decode(feature_map)]

                yield Step(last.index, total, last.side, 0, 1, None, preview)
        assert last is not None
        pictures = self._decode(last.feature_map, len(job.seeds))
        images = [Image.fromarray(to_bytes(p)) for p in pictures]
        yield self._finish(job, images, last, began, total, 1)

    def _finish(
        self,
        job: _Job,
        images: list[Image.Image],
        last: ScaleStep,
        began: float,
        total: int,
        frames: int,
    ) -> Step:
        scores = tuple(float(x) / max(last.drawn, 1) for x in last.log_likelihood)
        seconds = time.perf_counter() - began
        result = Result(tuple(images), job.seeds, seconds, job.request, scores)
        return Step(total - 1, total, last.side, frames - 1, frames, result)

    def _regenerate(self, job: _Job, frames: list[Frame], number: int) -> Iterator[ScaleStep]:
        """The model's part: encode what is known, then the next-scale loop.

        ``frames`` is one picture for all variations, one for each (with equal masks), or none.
        """
        rule, scales = job.rule, self.scales
        keeper: Keeper | None = None
        if not frames:
            maps = [torch.ones(side * side, dtype=torch.bool) for side in scales]
        else:
            mask = torch.from_numpy(frames[0].mask)
            if rule.paper:
                maps = paper_maps(finest_keep(mask, scales), scales)
            else:
                maps = regenerate_maps(mask, scales, fine=rule.coverage, structure=rule.structure)
            keeper = self._keeper(rule, frames)
        yield from generate(
            self._predictor(job),
            self.vqvae.quantize,
            regenerate=maps,
            seeds=job.seeds,
            sampling=job.sampling,
            keeper=keeper,
            pictures=max(len(frames), 1),
            frame=number,
        )

    @torch.inference_mode()
    def _predictor(self, job: _Job) -> TransformerPredictor:
        return TransformerPredictor(self.var, job.label, job.sampling)

    @torch.inference_mode()
    def _keeper(self, rule: Rule, frames: list[Frame]) -> Keeper:
        known = to_tensor(np.stack([f.filled(rule.fill).pixels for f in frames]))
        weight = self.vqvae.quant_conv.weight
        features = self.vqvae.features(known.to(weight.device, weight.dtype)).float()
        if rule.closed_loop:
            return closed_loop(self.vqvae.quantize, features)
        maps, _ = self.vqvae.quantize.encode(features)
        return replay(maps)

    @torch.inference_mode()
    def _decode(self, feature_map: Tensor, count: int | None = None) -> list[Floats]:
        """Pictures (side, side, 3) of 0..255 from feature maps (N, z, S, S), one at a time.

        With ``count`` each picture stands for count / N variations.
        """
        dtype = self.vqvae.post_quant_conv.weight.dtype
        pictures = [to_floats(self.vqvae.decode(one[None].to(dtype)))[0] for one in feature_map]
        times = (count or len(pictures)) // len(pictures)
        return [picture for picture in pictures for _ in range(times)]


@dataclass(frozen=True)
class _Preview:
    """The whole picture, small, with what the model has made so far under the mask."""

    editor: Editor
    job: _Job
    source: Source
    frame: Frame
    view: RGB
    mask: Mask
    box: tuple[int, int, int, int]
    step: ScaleStep

    def __call__(self) -> list[Image.Image]:
        base = _thumbnail(self.source.image)
        scale = base.width / self.source.width
        out = []
        for picture in self.editor._decode(self.step.feature_map):
            canvas = self.view.copy()
            self.frame.composite(canvas, self.mask, picture, blend=self.job.rule.blend)
            left, top, right, bottom = (round(edge * scale) for edge in self.box)
            size = (max(right - left, 1), max(bottom - top, 1))
            small = cv2.resize(canvas, size, interpolation=cv2.INTER_AREA)
            shown = base.copy()
            shown.paste(Image.fromarray(small), (left, top))
            out.append(shown)
        return out


@dataclass(frozen=True)
class _MarchPreview:
    """The extended canvas, small, with the frame in work in its place."""

    editor: Editor
    job: _Job
    window: Window
    frames: list[Frame]
    canvases: list[RGB]
    unknown: Mask
    step: ScaleStep

    def __call__(self) -> list[Image.Image]:
        out = []
        pictures = self.editor._decode(self.step.feature_map)
        for index, picture in enumerate(pictures):
            canvas = self.canvases[index % len(self.canvases)].copy()
            frame = self.frames[index % len(self.frames)]
            frame.composite(canvas, self.unknown, picture, blend=self.job.rule.blend)
            out.append(_thumbnail(Image.fromarray(canvas)))
        return out


def _needed(windows: list[Window], unknown: Mask) -> list[Window]:
    """The windows that have something to fill when their turn comes."""
    height, width = unknown.shape
    left = unknown.copy()
    needed = []
    for window in windows:
        x0, y0, x1, y1 = window.clip(width, height)
        if left[y0:y1, x0:x1].any():
            left[y0:y1, x0:x1] = False
            needed.append(window)
    return needed


def extend(source: Source, margins: tuple[int, int, int, int]) -> Source:
    """The source on a larger canvas (left, top, right, bottom), its edge pixels repeated outward."""
    left, top, right, bottom = margins
    width, height = source.width + left + right, source.height + top + bottom
    check_size((width, height), "the extended picture")
    raw = np.asarray(source.image)
    pad = [(top, bottom), (left, right)] + [(0, 0)] * (raw.ndim - 2)
    wide = np.pad(raw, pad, mode="edge")
    image = source.image.resize((width, height), Image.Resampling.NEAREST)
    image.info = dict(source.image.info)
    data = np.packbits(wide, axis=1).tobytes() if image.mode == "1" else wide.tobytes()
    image.frombytes(data)
    return Source(image)
