"""The model's part of an edit: encode what is known, run the next-scale loop, decode.

Between requests a runner remembers encoded pictures and begun runs (`engine.machine.memory`), which
saves work and changes no result. Where memory runs out it goes on with fewer variations at once.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.arrays import Floats, Mask, bounding_box, fingerprint
from engine.draw.loop import (
    Keeper,
    Label,
    ScaleStep,
    Shortcut,
    TransformerPredictor,
    branches,
    closed_loop,
    generate,
    half_known,
    replay,
)
from engine.draw.maps import finest_keep, paper_maps, regenerate_maps
from engine.errors import DeviceError
from engine.fast import original as fast
from engine.fast.towers import Box
from engine.machine.device import in_precision, out_of_memory
from engine.machine.memory import Memory
from engine.machine.tensors import to_floats, to_tensor
from engine.model.var.transformer import VAR, Condition, KVCache
from engine.model.var.vqvae import VQVAE
from engine.paint.ranking import Drawn
from engine.picture.frame import Frame
from engine.plan.plan import Pass
from engine.plan.rules import Keeping, Sampling

REMEMBERED = 256_000_000  # bytes of encoded pictures and begun runs, for edits that come after
PICTURES = 2.5  # or room for so many pictures' keys and values under a label, if that is more

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Known:
    """What is known of a frame: features (P, z, S, S), a name of them, and how the fast mode, if
    it serves here, gets round the rest."""

    name: bytes
    features: Tensor
    original: fast.Original | None = None
    before: Floats | None = None  # the picture that ``original`` is of
    positions: tuple[Tensor, ...] | None = None  # what the fast mode computes of each scale


class Runner:
    """Two networks and what they remember. Threads may share it."""

    def __init__(self, vqvae: VQVAE, var: VAR) -> None:
        self.vqvae = vqvae
        self.var = var
        spec = var.spec  # a position's key and value in every block, with a label and without
        each = 4 * spec.depth * spec.width * var.dtype.itemsize
        self.memory = Memory(max(REMEMBERED, int(PICTURES * spec.num_tokens * each)))

    @property
    def device(self) -> torch.device:
        return self.var.pos_start.device

    @property
    def scales(self) -> tuple[int, ...]:
        return self.vqvae.spec.scales

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
        if one.fast:
            positions = fast.computed_positions(maps, self.scales)
        if positions is None or len(frames) > 1:
            return Known(name, self._features(name, pixels))
        before = frames[0].pixels[None]
        original = self._original(before)
        box = bounds((pixels != before)[0].any(axis=2))
        name += fingerprint(before)
        features = self._features(name, pixels, original, box)
        return Known(name, features, original, before, positions)

    @torch.inference_mode()
    def borrow(
        self, known: Known | None, label: Label, sampling: Sampling, keeping: Keeping
    ) -> tuple[Hashable, Shortcut | None]:
        """How the fast mode, if it serves here, gets round what an edit leaves as it is.

        The cache in it is the borrower's alone, until it is put back under the name.
        """
        if known is None or known.original is None:
            return None, None
        assert known.before is not None and known.positions is not None
        name = self._name_of_cache(label, sampling, keeping, known.before)
        cache: KVCache | None = self.memory.take(name)
        if cache is None:
            cache = self._computed(label, sampling, keeping, known.original)
        return name, fast.shortcut(cache, known.positions)

    @torch.inference_mode()
    def study(self, one: Pass, frame: Frame) -> None:
        """Do now what the fast mode needs of a frame, whatever will be masked in it."""
        before, label = frame.pixels[None], distinct(one.labels)
        original = self._original(before)
        name = self._name_of_cache(label, one.sampling, one.keeping, before)
        if self.memory.get(name) is None:
            cache = self._computed(label, one.sampling, one.keeping, original)
            self.memory.put(name, cache, cache.nbytes)

    def _features(
        self,
        name: bytes,
        pixels: Floats,
        original: fast.Original | None = None,
        box: Box | None = None,
    ) -> Tensor:
        features: Tensor | None = self.memory.get(("features", name))
        if features is None:
            picture = to_tensor(pixels).to(self.device)
            if original is None:
                # One by one, as when decoding: side by side they would round otherwise.
                features = torch.cat([self.vqvae.features(one[None]).float() for one in picture])
            else:
                features = fast.encode_edit(self.vqvae, picture, box or (0, 0, 0, 0), original)
            self.memory.put(("features", name), features, features.nbytes)
        return features

    def _original(self, pixels: Floats) -> fast.Original:
        key = ("original", fingerprint(pixels))
        original: fast.Original | None = self.memory.get(key)
        if original is None:
            original = fast.study(self.vqvae, to_tensor(pixels).to(self.device))
            self.memory.put(key, original, original.nbytes)
        return original

    def _name_of_cache(
        self, label: Label, sampling: Sampling, keeping: Keeping, pixels: Floats
    ) -> Hashable:
        return "cache", fingerprint(pixels), branches(self.var, label, sampling), keeping.foresight

    def _computed(
        self, label: Label, sampling: Sampling, keeping: Keeping, original: fast.Original
    ) -> KVCache:
        condition = self.condition(label, sampling)
        return fast.keys_and_values(
            self.vqvae, self.var, condition, original.maps, foresight=keeping.foresight
        )

    @torch.inference_mode()
    def condition(self, label: Label, sampling: Sampling) -> Condition:
        """What the label decides, computed once: it takes reading a third of the weights."""
        labels = branches(self.var, label, sampling)
        condition: Condition | None = self.memory.get(("condition", labels))
        if condition is None:
            condition = self.var.condition(torch.tensor(labels, device=self.device))
            self.memory.put(("condition", labels), condition, condition.nbytes)
        return condition

    @torch.inference_mode()
    def as_trained(self, features: Tensor) -> Tensor:
        """What their own tokens make of features (P, z, S, S): foresight was trained on that."""
        return torch.cat([self.vqvae.quantize.encode(one[None])[1] for one in features])

    @torch.inference_mode()
    def keeper(self, keeping: Keeping, features: Tensor) -> Keeper:
        if not keeping.paper:
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
        return for_each(pictures, count or len(pictures))


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

    def steps(self) -> Iterator[ScaleStep]:
        """The next-scale loop, a step a scale; all variations at once, or as many as fit."""
        one, frames, runner = self.one, self.frames, self.runner
        maps = runner.maps(one.keeping, frames)
        seeds, at_once, given = one.seeds, len(one.seeds), 0
        done: list[ScaleStep] = []  # the last steps of the variations that are finished
        while True:
            first = sum(len(step.log_likelihood) for step in done)
            some = slice(first, first + at_once)
            try:
                if frames and self.known is None:
                    self.known = runner.known(one, frames, maps)
                for step in self._some(maps, seeds[some], some):
                    last = step.index + 1 == len(runner.scales)
                    if not last and step.index >= given and some.stop >= len(seeds):
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

    def _some(self, maps: list[Tensor], seeds: tuple[int, ...], some: slice) -> Iterator[ScaleStep]:
        """The loop for some of the variations."""
        runner, one, keeping = self.runner, self.one, self.one.keeping
        keeper, known, pictures = None, self.known, 1
        hint, anchor, foresight = None, None, None
        if known is not None:
            features = known.features
            features = features[some] if len(features) > 1 else features
            pictures = len(features)
        label = distinct(one.labels[some])
        if isinstance(label, tuple):  # each variation is a picture with a label of its own
            pictures = len(seeds)
        if known is not None:
            if keeping.foresight:  # each picture once, before variations share it
                foresight = runner.as_trained(features).expand(pictures, -1, -1, -1)
            features = features.expand(pictures, -1, -1, -1)
            keeper = runner.keeper(keeping, features)
            if not keeping.paper:
                anchor = features
            if keeping.half_known > 0:
                frame = self.frames[0]
                hole = frame.grown(keeping.rim(frame.hole)).hole
                mask = torch.from_numpy(hole.astype(np.float32))
                hint = half_known(
                    runner.vqvae.quantize, features, mask, keeping.half_known
                )
        alone = len(self.frames) < 2
        key = (
            "run", known.name if known else b"", fingerprint(*(m.numpy() for m in maps)),
            label, one.sampling.guidance > 0, keeping.paper, keeping.foresight,
            known is not None and known.original is not None,
        )  # fmt: skip
        name, shortcut = runner.borrow(known, label, one.sampling, keeping)
        with torch.inference_mode():
            predictor = TransformerPredictor(
                runner.var,
                label,
                one.sampling,
                recall=runner.memory.get(key) if alone else None,
                shortcut=shortcut,
                condition=runner.condition(label, one.sampling),
            )
        try:
            yield from generate(
                predictor,
                runner.vqvae.quantize,
                regenerate=maps,
                seeds=seeds,
                sampling=one.sampling,
                keeper=keeper,
                hint=hint,
                anchor=anchor,
                foresight=foresight,
                pictures=pictures,
                frame=self.number,
                coarse_seeds=one.coarse_seeds,
                evidence=predictor.evidence if predictor.guided else None,
            )
        finally:
            if alone and not self.let_go:
                self._remember(key, predictor)
            predictor.restore()
            if shortcut is not None and not self.let_go:
                runner.memory.put(name, shortcut.cache, shortcut.cache.nbytes)

    def _remember(self, key: Hashable, predictor: TransformerPredictor) -> None:
        """Keep what a later run may recall; where there is no memory for that, nothing."""
        try:
            recall = predictor.remembered()
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            return
        if recall is not None:
            self.runner.memory.put(key, recall, recall.nbytes)

    def drawn(self, last: ScaleStep) -> Drawn:
        """What the frame became, once its ``last`` scale is done."""
        pictures = self.decode(last.feature_map, len(self.one.seeds))
        return Drawn(
            pictures=tuple(pictures),
            likelihood=last.log_likelihood.cpu().numpy(),
            evidence=last.evidence.cpu().numpy(),
            tokens=last.drawn,
            notes=tuple(self.notes),
        )

    def decode(self, feature_map: Tensor, count: int | None = None) -> list[Floats]:
        """As `Runner.decode`; in the fast mode around the mask only."""
        original = None if self.known is None else self.known.original
        try:
            if original is None:
                return self.runner.decode(feature_map, count)
            box = bounds(self.frames[0].mask > 0)
            pictures = [
                to_floats(fast.decode_edit(self.runner.vqvae, one[None], box, original))[0]
                for one in feature_map
            ]
            return for_each(pictures, count or len(pictures))
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
        return self._decode_frugally(feature_map, count)

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

    def _decode_frugally(self, feature_map: Tensor, count: int | None) -> list[Floats]:
        """Decode with everything else let go of; in half precision if that is not enough."""
        self._let_go()
        self._note("memory was short: decoded once more with nothing else in it")
        try:
            return self.runner.decode(feature_map, count)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
        vqvae = self.runner.vqvae
        if vqvae.post_quant_conv.weight.dtype == torch.float32:
            self._note("memory was short: decoded in half precision")
            half = torch.float16 if self.runner.device.type == "cuda" else torch.bfloat16
            try:
                with in_precision(half, vqvae.decoder, vqvae.post_quant_conv):
                    return self.runner.decode(feature_map, count)
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


def distinct(labels: tuple[int | None, ...]) -> Label:
    """The one label of all variations, or all of them where they differ."""
    return labels[0] if len(set(labels)) == 1 else labels


def for_each(pictures: list[Floats], count: int) -> list[Floats]:
    """N pictures as those of ``count`` variations, count / N side by side to each."""
    return [picture for picture in pictures for _ in range(count // len(pictures))]


def together(steps: list[ScaleStep]) -> ScaleStep:
    """One step of several that are about other variations of the same frame."""
    if len(steps) == 1:
        return steps[0]
    wide = [step.widened() for step in steps]
    return ScaleStep(
        wide[0].index,
        wide[0].side,
        torch.cat([step.ids for step in wide]),
        torch.cat([step.feature_map for step in wide]),
        torch.cat([step.log_likelihood for step in wide]),
        wide[0].drawn,
        torch.cat([step.evidence for step in wide]),
    )


def bounds(mask: Mask) -> Box:
    """(top, left, bottom, right) around what is True; all 0 if nothing is."""
    left, top, right, bottom = bounding_box(mask) or (0, 0, 0, 0)
    return top, left, bottom, right
