"""The model's part of an edit: encode what is known, run the next-scale loop, decode.

What is remembered between requests (`engine.machine.memory`) saves work and changes no result.
Where memory runs out it goes on with fewer variations at once.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Generator, Hashable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.arrays import Floats, fingerprint
from engine.draw.guidance import Guided, branches, guided
from engine.draw.keeping import Keeper, tokens
from engine.draw.loop import ScaleStep, generate, together
from engine.draw.maps import finest_keep, paper_maps, regenerate_maps
from engine.errors import DeviceError
from engine.fast.original import Original
from engine.fast.pair import fast_mode
from engine.fast.positions import computed_positions
from engine.fast.towers import Box
from engine.frames.frame import Frame
from engine.machine.device import in_precision, out_of_memory
from engine.machine.memory import Memory
from engine.machine.tensors import to_floats, to_tensor
from engine.model.family import Free, Labels, Model, Predictor
from engine.paint.ranking import Drawn, best_first
from engine.plan.plan import Pass
from engine.plan.rules import Keeping, begun
from engine.runner.chain import Chain, Loan
from engine.runner.known import Known, bounds, distinct, for_each, keeper_of

REMEMBERED = 256_000_000  # bytes of encoded pictures and begun runs, for edits that come after
PICTURES = 2.5  # or room for so many pictures' runs under a label, if that is more
NOT_FAST = "speed: this model has no fast mode; it was drawn exactly"

log = logging.getLogger(__name__)


class Runner:
    """A model's networks and what they remember. Threads may share it."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.fast = fast_mode(model)
        self.memory = Memory(max(REMEMBERED, int(PICTURES * model.picture_bytes)))

    def at(self, scales: tuple[int, ...]) -> Runner:
        """The same, with the same memory, for the schedule of an edit, if the model is free."""
        if scales == self.scales:
            return self
        assert isinstance(self.model, Free), "only who is free in it has other schedules"
        other = copy.copy(self)
        other.model = self.model.at(scales)
        other.fast = fast_mode(other.model)
        return other

    @property
    def device(self) -> torch.device:
        return self.model.device

    @property
    def scales(self) -> tuple[int, ...]:
        return self.model.scheme.scales

    def run(self, one: Pass, frames: list[Frame], number: int = 0) -> Run:
        """The run for frame ``number`` of a pass.

        ``frames`` is one picture for all variations, one for each (with equal masks), or none.
        """
        return Run(self, one, frames, number)

    def maps(self, keeping: Keeping, frames: list[Frame]) -> list[Tensor]:
        """What is regenerated at each scale, (s * s,) bool."""
        if not frames:
            return [torch.ones(side * side, dtype=torch.bool) for side in self.scales]
        mask = torch.from_numpy(frames[0].mask)
        if keeping.paper:
            return paper_maps(finest_keep(mask, self.scales), self.scales)
        kept = keeping.kept(frames[0].mask)
        return regenerate_maps(mask, self.scales, structure=kept)

    @torch.inference_mode()
    def known(self, one: Pass, frames: list[Frame], maps: list[Tensor]) -> Known:
        """Encode the frames, their holes filled; each picture once."""
        keeping = one.keeping
        pixels = np.stack([
            f.grown(keeping.rim(f.hole)).filled(keeping.filling(f.hole)).pixels for f in frames
        ])  # fmt: skip
        name = fingerprint(pixels)
        positions = None
        if one.fast and self.fast is not None:
            positions = computed_positions(maps, self.scales)
        if positions is None or len(frames) > 1:
            return Known(name, self._features(name, pixels))
        before = frames[0].pixels[None]
        original = self._original(before)
        box = bounds((pixels != before)[0].any(axis=2))
        name += fingerprint(before)
        features = self._features(name, pixels, original, box)
        return Known(name, features, original, before, positions)

    @torch.inference_mode()
    def borrow(self, known: Known | None, labels: Labels, keeping: Keeping) -> Loan | None:
        """How the fast mode, if it serves here, gets round what an edit leaves as it is."""
        if known is None or known.original is None:
            return None
        assert known.before is not None and known.positions is not None
        name = self._name_of_cache(labels, keeping, known.before)
        cache = self.memory.take(name) or self._cache(labels, keeping, known.original)
        return Loan(name, cache, known.positions)

    @torch.inference_mode()
    def study(self, one: Pass, frame: Frame) -> None:
        """Do now what the fast mode needs of a frame, whatever will be masked in it."""
        if self.fast is None:
            return
        before, labels = frame.pixels[None], branches(distinct(one.labels), one.sampling)
        original = self._original(before)
        name = self._name_of_cache(labels, one.keeping, before)
        if self.memory.get(name) is None:
            cache = self._cache(labels, one.keeping, original)
            self.memory.put(name, cache, cache.nbytes)

    def _features(
        self,
        name: bytes,
        pixels: Floats,
        original: Original | None = None,
        box: Box | None = None,
    ) -> Tensor:
        features: Tensor | None = self.memory.get(("features", name))
        if features is None:
            picture, codec = to_tensor(pixels).to(self.device), self.model.codec
            if original is None:
                # One by one, as when decoding: side by side they would round otherwise.
                features = torch.cat([codec.features(one[None]).float() for one in picture])
            else:
                assert self.fast is not None
                features = self.fast.encode(picture, box or (0, 0, 0, 0), original)
            self.memory.put(("features", name), features, features.nbytes)
        return features

    def _original(self, pixels: Floats) -> Original:
        key = ("original", fingerprint(pixels))
        original: Original | None = self.memory.get(key)
        if original is None:
            assert self.fast is not None
            original = self.fast.study(to_tensor(pixels).to(self.device))
            self.memory.put(key, original, original.nbytes)
        return original

    def _name_of_cache(self, labels: Labels, keeping: Keeping, pixels: Floats) -> Hashable:
        return "cache", fingerprint(pixels), labels, keeping.foresight

    def _cache(self, labels: Labels, keeping: Keeping, original: Original) -> Any:
        assert self.fast is not None
        condition = self.condition(labels)
        return self.fast.cache(condition, original, foresight=keeping.foresight)

    @torch.inference_mode()
    def condition(self, labels: Labels) -> Any:
        """What labels decide, computed once."""
        condition = self.memory.get(("condition", labels))
        if condition is None:
            condition = self.model.condition(labels)
            self.memory.put(("condition", labels), condition, condition.nbytes)
        return condition

    def predictor(self, labels: Labels, number: int) -> Predictor:
        """The model's own, of some labels in so many branches."""
        return self.model.predictor(self.condition(labels), number)

    @torch.inference_mode()
    def tokens(self, features: Tensor) -> tuple[list[Tensor], Tensor]:
        """The token maps of features (P, z, S, S), and the feature map that they make."""
        return tokens(self.model.scheme, features)

    def keeper(self, keeping: Keeping, *known: Any) -> Keeper:
        """`keeper_of` what is ``known`` of a frame."""
        return keeper_of(self.model.scheme, keeping, *known)

    @torch.inference_mode()
    def decode(
        self, feature_map: Tensor, around: tuple[Box, Original] | None = None
    ) -> list[Floats]:
        """Pictures (side, side, 3) of 0..255 from feature maps (N, z, S, S), one at a time; in the
        fast mode ``around`` a box only, all else as the original has it."""
        made = []
        for one in feature_map:
            if around is None or self.fast is None:
                picture = self.model.codec.decode(one[None])
            else:
                picture = self.fast.decode(one[None], *around)
            made.append(to_floats(picture)[0])
        return made


class Run:
    """One frame's run. ``notes`` says where it had to step down."""

    def __init__(self, runner: Runner, one: Pass, frames: list[Frame], number: int) -> None:
        self.runner = runner
        self.one = one
        self.frames = frames
        self.number = number
        self.notes: list[str] = []
        self.known: Known | None = None
        self.let_go = False  # memory was short: nothing is remembered of this run
        self.chosen = tuple(range(len(one.seeds)))  # the variations that go on to the end

    def steps(self) -> Iterator[ScaleStep]:
        """The next-scale loop, a step a scale. Where only the best survive they are told after the
        coarse scales, and ``chosen``; they begin anew, which costs little and changes nothing."""
        last, few, given = len(self.runner.scales) - 1, self.one.survivors, 0
        if self.one.fast and self.runner.fast is None:
            self._note(NOT_FAST)
        if few is not None and (until := begun(self.runner.scales)) < last:
            for step in self._drawn(until, 0):
                yield step
            given = until + 1
            if step.drawn:
                self._choose(step, few)
        yield from self._drawn(last, given)

    def _choose(self, step: ScaleStep, few: int) -> None:
        one = self.one
        worth = (step.evidence if one.guided else step.log_likelihood).tolist()
        self.chosen = tuple(sorted(best_first(worth)[:few]))
        self.one = replace(
            one,
            seeds=tuple(one.seeds[i] for i in self.chosen),
            labels=tuple(one.labels[i] for i in self.chosen),
        )

    def _drawn(self, until: int, given: int) -> Iterator[ScaleStep]:
        """The steps up to scale ``until``, but the first ``given``; all variations at once, or as
        many as fit."""
        one, frames, runner = self.one, self.frames, self.runner
        maps = runner.maps(one.keeping, frames)
        seeds, at_once = one.seeds, len(one.seeds)
        done: list[ScaleStep] = []  # the last steps of the variations that are finished
        while True:
            first = sum(len(step.log_likelihood) for step in done)
            some = slice(first, first + at_once)
            try:
                if frames and self.known is None:
                    self.known = runner.known(one, frames, maps)
                with closing(self._some(maps, seeds[some], some)) as steps:
                    for step in steps:
                        if step.index == until:
                            break
                        if step.index >= given and some.stop >= len(seeds):
                            given = step.index + 1
                            yield step
                done.append(step)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                at_once = self._step_down(at_once)
                continue
            if some.stop >= len(seeds):
                yield together(done)
                return

    def _some(
        self, maps: list[Tensor], seeds: tuple[int, ...], some: slice
    ) -> Generator[ScaleStep, None, None]:
        """The loop for some of the variations."""
        runner, one, known = self.runner, self.one, self.known
        label, rows = distinct(one.labels[some]), 1
        keeper = Keeper(runner.model.scheme)
        if known is not None:
            features = known.features
            features = features[some] if len(features) > 1 else features
            rows = len(features)
        if isinstance(label, tuple):  # each variation is a picture with a label of its own
            rows = len(seeds)
        if known is not None:
            keeper = runner.keeper(one.keeping, features, self.frames[0], maps, rows)
        alone = len(self.frames) < 2
        key = (
            "run", known.name if known else b"", fingerprint(*(m.numpy() for m in maps)),
            label, one.sampling.guidance > 0, one.keeping.paper, one.keeping.foresight,
            known is not None and known.original is not None,
        )  # fmt: skip
        loan = runner.borrow(known, branches(label, one.sampling), one.keeping)
        chain = Chain(
            runner.predictor, runner.fast, loan, runner.memory, key if alone else None,
            scales=len(runner.scales),
        )  # fmt: skip
        try:
            with torch.inference_mode():
                predictor = guided(chain.predictor, label, one.sampling, len(runner.scales))
            yield from generate(
                predictor,
                keeper,
                regenerate=maps,
                seeds=seeds,
                sampling=one.sampling,
                pictures=rows,
                frame=self.number,
                coarse_seeds=one.coarse_seeds,
                evidence=predictor.evidence if isinstance(predictor, Guided) else None,
            )
        finally:
            chain.close(remember=not self.let_go)

    def drawn(self, last: ScaleStep) -> Drawn:
        """What the frame became, once its ``last`` scale is done."""
        pictures = self._decode(last.feature_map)
        return Drawn(
            pictures=tuple(for_each(pictures, len(self.one.seeds))),
            likelihood=last.log_likelihood.cpu().numpy(),
            evidence=last.evidence.cpu().numpy(),
            tokens=last.drawn,
            notes=tuple(self.notes),
        )

    def _decode(self, feature_map: Tensor) -> list[Floats]:
        """As `Runner.decode`; in the fast mode around the mask only."""
        original = None if self.known is None else self.known.original
        around = None if original is None else (bounds(self.frames[0].mask > 0), original)
        try:
            return self.runner.decode(feature_map, around)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
        return self._decode_frugally(feature_map)

    def _step_down(self, at_once: int) -> int:
        """Half the variations at once, after everything that can be let go of was."""
        tried_alone = self.let_go
        self._let_go()
        if at_once > 1:
            at_once //= 2
            self._note(f"memory was short: {at_once} variation(s) at a time")
        elif not tried_alone:
            self._note("memory was short: what was remembered of earlier edits was dropped")
        else:
            raise DeviceError(
                "not enough memory for one variation; close other programs, or take a smaller "
                "model or another --device"
            )
        return at_once

    def _decode_frugally(self, feature_map: Tensor) -> list[Floats]:
        """Decode with everything else let go of; in half precision if that is not enough."""
        self._let_go()
        self._note("memory was short: decoded once more with nothing else in it")
        try:
            return self.runner.decode(feature_map)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
        networks = self.runner.model.codec.decoding
        if any(weight.dtype == torch.float32 for net in networks for weight in net.parameters()):
            self._note("memory was short: decoded in half precision")
            half = torch.float16 if self.runner.device.type == "cuda" else torch.bfloat16
            try:
                with in_precision(half, *networks):
                    return self.runner.decode(feature_map)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
        raise DeviceError(
            "not enough memory to decode one picture; close other programs, or take a smaller "
            "model or another --device"
        )

    def _let_go(self) -> None:
        self.let_go = True
        self.runner.memory.clear()
        if self.runner.device.type == "cuda":
            torch.cuda.empty_cache()

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)
            log.warning(text)
