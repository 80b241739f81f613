"""The next-scale loop: coarse to fine, keeping what is known and drawing what is not.

The loop itself knows no transformer: it asks a predictor for logits, so that it can be tested
with planted ones. P pictures give B variations, B a multiple of P; as long as the variations of a
picture do not differ (nothing was drawn yet, or with one seed for all) everything runs at P rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from engine.draw.maps import coverage, unknown_maps
from engine.draw.sampling import draw, expect, guide, noise
from engine.model.var.quantizer import Quantizer
from engine.model.var.transformer import VAR, Condition, KVCache
from engine.plan.rules import Sampling

Keeper = Callable[[int, Tensor], Tensor]
"""(scale k, feature map so far (N, z, S, S)) -> the ids that are kept at k, (N, s * s)."""

Evidence = Callable[[Tensor], Tensor]
"""Drawn ids (B, n) -> log p(ids | label) - log p(ids | no label), (B,)."""


Hint = Callable[[int, Tensor, Tensor], Tensor]
"""(scale k, feature map so far (N, z, S, S), positions (n,)) -> what is added to their logits
(N, n, V)."""


class Predictor(Protocol):
    """Logits over the codebook, scale by scale; scales come in order, each exactly once."""

    def skip(self, k: int, inputs: Tensor) -> None:
        """Scale k is fully kept: it is context for later scales, nothing more."""

    def logits(self, k: int, inputs: Tensor, rows: Tensor) -> Tensor:
        """Logits (N, len(rows), V) of scale k at ``rows``; inputs are (N, s * s, z), or z + 1 with
        foresight."""


@dataclass(frozen=True)
class ScaleStep:
    """One finished scale: its token map and the feature map up to it.

    Until the variations of a picture differ N is P, the number of pictures; from then on N is B.
    """

    index: int
    side: int
    ids: Tensor  # (N, s * s); -1 where the expected code vector was taken instead of a token
    feature_map: Tensor  # (N, z, S, S)
    log_likelihood: Tensor  # (B,), natural logarithm, of all tokens drawn so far
    drawn: int  # how many tokens were drawn so far, per variation
    evidence: Tensor  # (B,), log p(drawn tokens | label) - log p(drawn tokens | no label)

    def widened(self) -> ScaleStep:
        """With a row for each variation, N = B."""
        times = len(self.log_likelihood) // len(self.ids)
        ids, feature_map = (t.repeat_interleave(times, 0) for t in (self.ids, self.feature_map))
        return replace(self, ids=ids, feature_map=feature_map)


@dataclass(frozen=True)
class Seen:
    """What the transformer was given at one call, and the logits that it gave."""

    first: int
    inputs: Tensor | None
    rows: Tensor
    logits: Tensor  # (N, n, V), 2 N with both branches, before guidance

    def same(self, first: int, inputs: Tensor | None, rows: Tensor, needed: int) -> bool:
        """Whether a call is this one again, to the bit, and ``needed`` rows of logits are here."""
        if first != self.first or needed > len(self.logits) or not torch.equal(rows, self.rows):
            return False
        if inputs is None or self.inputs is None:
            return inputs is None and self.inputs is None
        return torch.equal(inputs, self.inputs)


@dataclass(frozen=True)
class Recall:
    """A run's calls by scale, as long as its variations were the same, and their K/V cache; of a
    run with a shortcut the ``positions`` only that it computed."""

    seen: Mapping[int, Seen]
    cache: KVCache
    positions: Tensor | None = None

    @property
    def nbytes(self) -> int:
        places = 0 if self.positions is None else self.positions.nbytes
        return self.cache.nbytes + places + sum(call.logits.nbytes for call in self.seen.values())


@dataclass(frozen=True)
class Shortcut:
    """The fast mode's part of a run: all keys and values of the picture as it was, and the
    positions of each scale that are computed anew nevertheless. A run works in this very cache,
    so it must be the only one, and is asked to `TransformerPredictor.restore` it."""

    cache: KVCache
    computed: tuple[Tensor, ...]

    def places(self, bounds: tuple[tuple[int, int], ...]) -> Tensor:
        """Among all tokens the positions that are computed of the scales, from the first on, with
        these ``bounds``."""
        return torch.cat(
            [own + begin for own, (begin, _) in zip(self.computed, bounds, strict=False)]
        )


Label = int | None | tuple[int | None, ...]
"""A class id or None, "no label"; or one of these for each picture, all None or none of them."""


def branches(var: VAR, label: Label, sampling: Sampling) -> tuple[int, ...]:
    """The labels that an edit runs, one or one a picture; then, where they guide, "no label" as
    often."""
    labels = label if isinstance(label, tuple) else (label,)
    none = var.spec.no_label
    own = tuple(none if each is None else each for each in labels)
    return own + (none,) * len(own) if is_guided(label, sampling) else own


def is_guided(label: Label, sampling: Sampling) -> bool:
    """Whether a run has two branches. Without a label they would be equal."""
    labels = label if isinstance(label, tuple) else (label,)
    return sampling.guidance > 0 and labels[0] is not None


def unguided_from(sampling: Sampling, scales: int) -> int:
    """The first scale from which on guidance is 0 to the end."""
    guided = [k for k in range(scales) if sampling.guidance_at(k, scales) > 0]
    return guided[-1] + 1 if guided else 0


class TransformerPredictor:
    """VAR behind a K/V cache. Fully kept scales wait, and run together with the next drawn one.

    ``label`` is of all pictures, or a tuple with one for each of them. None is "no label": the
    two branches of guidance would be equal, so one is run.
    Guided runs hold 2 N rows, conditional first; once nothing is guided any more (schedule
    "falling") the conditional ones only. With a ``recall`` of an earlier run of the same label,
    calls that come again, from the first on, are not computed again. With a ``shortcut`` only its
    positions are computed (approximate). ``condition`` is what `VAR.condition` gave for
    the `branches`, if that is known.
    """

    def __init__(
        self,
        var: VAR,
        label: Label,
        sampling: Sampling,
        *,
        recall: Recall | None = None,
        shortcut: Shortcut | None = None,
        condition: Condition | None = None,
    ) -> None:
        self.var = var
        self.sampling = sampling
        ids = branches(var, label, sampling)
        self.guided = is_guided(label, sampling)
        self.unguided = unguided_from(sampling, len(var.spec.scales)) if self.guided else 0
        self.labels = len(ids) // (2 if self.guided else 1)
        self.condition = condition or var.condition(torch.tensor(ids, device=var.pos_start.device))
        self.recall = recall
        self.shortcut = shortcut
        self.seen: dict[int, Seen] = {}
        self.shared: KVCache | None = None  # the cache of ``seen``
        self.cache: KVCache | None = None
        self.before: KVCache | None = None  # what the shortcut's cache had at its places
        self.rows = 0
        self.alike = True  # the variations are the same as yet
        self.waiting: list[Tensor] = []
        self.first = 0
        self.branches: tuple[Tensor, ...] | None = None  # the last logits before guidance

    def skip(self, k: int, inputs: Tensor) -> None:
        self.waiting.append(inputs)

    def logits(self, k: int, inputs: Tensor, rows: Tensor) -> Tensor:
        count = inputs.shape[0]
        alone = self.guided and k >= self.unguided
        runs = [*self.waiting, inputs]
        if self.first == 0:
            runs = runs[1:]  # the first scale reads the label, no feature map
        stacked = torch.cat([r.expand(count, -1, -1) for r in runs], dim=1) if runs else None
        again = self.recall.seen.get(k) if self.recall is not None else None
        needed = count if alone or not self.guided else 2 * count
        if again is not None and again.same(self.first, stacked, rows, needed):
            logits = again.logits[:needed]
            self.seen[k] = again
            self.rows = count
        else:
            self._grow(count, alone)
            logits = self._compute(k, stacked, rows, count)
            last = k + 1 == len(self.var.spec.scales)
            if self.alike and (last or not alone):  # half a cache is no cache to go on from
                self.seen[k] = Seen(self.first, stacked, rows, logits)
        self.waiting, self.first = [], k + 1
        if alone or not self.guided:
            self.branches = None
            return logits
        self.branches = conditional, unconditional = logits.chunk(2)
        strength = self.sampling.guidance_at(k, len(self.var.spec.scales))
        return guide(conditional, unconditional, strength)

    def evidence(self, ids: Tensor) -> Tensor:
        """What tokens (B, n) drawn from the last logits say for the label, (B,), in nats.

        log p(ids | label) - log p(ids | no label) before guidance and filters; 0 without guidance,
        and where only the conditional branch was run.
        """
        total = torch.zeros(len(ids), device=ids.device)
        for sign, logits in zip((1, -1), self.branches or (), strict=False):
            each = ids.unflatten(0, (len(logits), -1)).transpose(1, 2)  # (N, n, B / N)
            chance = logits.gather(-1, each) - logits.logsumexp(-1, keepdim=True)
            total = total + sign * chance.sum(1).flatten()
        return total

    def remembered(self) -> Recall | None:
        """What a later run may recall of this one; to be asked once it is over."""
        if self.cache is None and self.recall is not None:
            return self.recall
        if self.shared is None:
            return None
        if self.shortcut is None:
            return Recall(self.seen, self.shared.trimmed())
        places = self.shortcut.places(self.var.spec.bounds[: max(self.seen, default=0) + 1])
        return Recall(self.seen, self.shared.only(places), places)

    @torch.inference_mode()
    def restore(self) -> None:
        """Give the shortcut's cache back what it had, once the run is over."""
        if self.shortcut is not None and self.before is not None:
            places = self.shortcut.places(self.var.spec.bounds)
            self.shortcut.cache.put_back(places, self.before)
            self.before = None

    def _compute(self, k: int, stacked: Tensor | None, rows: Tensor, count: int) -> Tensor:
        """Logits (N, n, V), or (2 N, n, V), of scale k; the scales that waited run with it."""
        condition = self.condition.expand(count // self.labels)
        if self.guided and k < self.unguided:
            stacked = None if stacked is None else torch.cat([stacked, stacked])
        else:
            condition = condition.first(count)
        bounds = self.var.spec.bounds
        computed = None
        if self.shortcut is None:
            rows = rows + (bounds[k][0] - bounds[self.first][0])
        else:
            computed = list(self.shortcut.computed[self.first : k + 1])
            before = sum(each.numel() for each in computed[:-1])
            rows = torch.searchsorted(computed[-1], rows) + before
        hidden = self.var.run(
            stacked, condition, first=self.first, last=k, cache=self.cache, rows=rows,
            computed=computed,
        )  # fmt: skip
        return self.var.logits(hidden, condition)

    def _grow(self, count: int, alone: bool) -> None:
        """A cache for ``count`` rows; those that are there are repeated, if they are ``alone``
        without those of the branch that is not run any more."""
        if self.cache is None:
            self._begin(self.rows or count)
        assert self.cache is not None
        if alone and self.cache.rows > self.rows:
            self.cache = self.cache.first(self.rows)
        self.cache = self.cache.repeat(count // self.rows)
        self.alike = self.alike and count == self.rows
        self.rows = count

    def _begin(self, count: int) -> None:
        """A cache for ``count`` rows with what was recalled."""
        recall = self.recall if self.seen else None
        self.recall = None
        rows = count * (2 if self.guided else 1)
        if self.shortcut is not None:
            self.cache = self.shortcut.cache
            assert self.cache.rows == rows, "a shortcut is for one row a label"
            self.before = self.cache.only(self.shortcut.places(self.var.spec.bounds))
            if recall is not None:
                assert recall.positions is not None
                self.cache.put_back(recall.positions, recall.cache)
        elif recall is not None:
            self.cache = recall.cache.copy(self.var.spec.bounds[self.first][0])
        else:
            weight = self.var.head.weight
            self.cache = KVCache(self.var.spec, rows, device=weight.device, dtype=weight.dtype)
        self.rows, self.shared = count, self.cache


def replay(maps: list[Tensor]) -> Keeper:
    """Keep the ids that encoding the picture gave (the rule "paper")."""
    return lambda k, feature_map: maps[k].expand(feature_map.shape[0], -1)


def anchored(feature_map: Tensor, features: Tensor, regenerate: Tensor) -> Tensor:
    """The finished feature map (N, z, S, S) with the known area's own features (P, z, S, S).

    The quantizer's error, and what the drawn coarse tokens did to the known area, go.
    ``regenerate`` is the map of the finest scale, (S * S,).
    """
    drawn = regenerate.to(feature_map.device).view(1, 1, *feature_map.shape[-2:])
    features = features.repeat_interleave(len(feature_map) // len(features), dim=0)
    return torch.where(drawn, feature_map, features.to(feature_map.dtype))


def half_known(
    quantizer: Quantizer, features: Tensor, mask: Tensor, strength: float
) -> Hint:
    """What the known part of a token's area says about the token, as log-likelihoods.

    A token whose area is known in part, by a share w, is drawn from p(v) exp(-strength w d(v)):
    d is how far code v is from what ``features`` (P, z, S, S) still lack there, in units of the
    codebook's mean square norm. ``mask`` is the masked share of every pixel, (S, S).
    """
    code = quantizer.embedding.weight.float()
    square = code.square().sum(1)  # (V,)
    unit = square.mean()

    def hint(k: int, feature_map: Tensor, rows: Tensor) -> Tensor:
        side = quantizer.scales[k]
        share = (1 - coverage(mask, side)).flatten().to(code)[rows]  # (n,)
        times = len(feature_map) // len(features)
        rest = features.repeat_interleave(times, dim=0) - feature_map
        lacking = quantizer.next_input(k, rest)[:, rows].float()  # (N, n, z)
        distance = square - 2 * lacking @ code.T  # (N, n, V), without what is the same for all v
        return distance * (-strength / unit * share)[:, None]

    return hint


def closed_loop(quantizer: Quantizer, features: Tensor) -> Keeper:
    """Keep by quantising, at each scale, what the known area still lacks as things are now.

    Whatever was drawn at coarser scales, the known area converges to ``features`` (P, z, S, S).
    """

    def keep(k: int, feature_map: Tensor) -> Tensor:
        times = feature_map.shape[0] // features.shape[0]
        return quantizer.residual_ids(k, features.repeat_interleave(times, dim=0), feature_map)

    return keep


@torch.inference_mode()
def generate(
    predictor: Predictor,
    quantizer: Quantizer,
    *,
    regenerate: list[Tensor],
    seeds: tuple[int, ...],
    sampling: Sampling,
    keeper: Keeper | None = None,
    hint: Hint | None = None,
    anchor: Tensor | None = None,
    foresight: Tensor | None = None,
    pictures: int = 1,
    frame: int = 0,
    coarse_seeds: tuple[int, ...] = (),
    evidence: Evidence | None = None,
) -> Iterator[ScaleStep]:
    """Yield one step a scale. ``regenerate`` holds a map (s * s,) for each scale, on the CPU.

    ``seeds`` has one seed a variation, B = len(seeds), those of one picture side by side. A scale k
    with a seed of its own, ``coarse_seeds[k]``, is drawn with that by all variations.
    ``evidence`` is asked after each draw what the tokens say for the label, ``hint`` before it
    what is known of them. At the end the known area takes the features of ``anchor`` (P, z, S, S).
    Of ``foresight``, features (P, z, S, S), the predictor reads the known area at every scale.
    Without a ``keeper`` every map must be all True. Closing the iterator stops before the
    next scale.
    """
    batch = len(seeds)
    feature_map = quantizer.zeros(pictures)
    device = feature_map.device
    likelihood = torch.zeros(pictures, device=device)
    speaking = likelihood
    drawn = 0
    unknown: list[Tensor] = []
    if foresight is not None:  # on the device once, not at every scale
        unknown = unknown_maps(regenerate[-1].to(device), quantizer.scales)
    for k, side in enumerate(quantizer.scales):
        positions = regenerate[k].nonzero()[:, 0]  # on the CPU: no waiting for the device
        rows = positions.to(device)
        inputs = quantizer.next_input(k, feature_map)
        if foresight is not None:
            seen = foresight.repeat_interleave(len(inputs) // pictures, dim=0)
            inputs = quantizer.foreseen(k, inputs, seen, unknown[k])
        soft = sampling.is_soft(k, len(quantizer.scales))
        here = sampling.at(k, len(quantizer.scales))
        if rows.numel():
            logits = predictor.logits(k, inputs, rows)
            keys = seeds if k >= len(coarse_seeds) else (coarse_seeds[k],) * pictures
            uniform = noise(keys, k, positions, frame=frame)
            if hint is not None:
                logits = logits + hint(k, feature_map, rows)
            times = len(keys) // feature_map.shape[0]
            feature_map = feature_map.repeat_interleave(times, dim=0)
            likelihood = likelihood.repeat_interleave(times)
            speaking = speaking.repeat_interleave(times)
            if soft:
                codebook = quantizer.embedding.weight
                expected = expect(logits, codebook, uniform, here)  # (B, n, z)
                chosen = torch.full(expected.shape[:2], -1, device=device)
            else:
                chosen, chance = draw(logits, uniform, here)
                drawn += rows.numel()
                likelihood = likelihood + chance.sum(1)
                if evidence is not None:
                    speaking = speaking + evidence(chosen)
        elif k + 1 < len(quantizer.scales):
            predictor.skip(k, inputs)
        if rows.numel() == side * side:
            ids = chosen
        else:
            assert keeper is not None, "something is to be kept, but nothing is known"
            ids = keeper(k, feature_map)
            if rows.numel():
                ids = ids.index_copy(1, rows, chosen)
        vectors = quantizer.look_up(k, ids.clamp_min(0))
        if soft and rows.numel():
            vectors = vectors.flatten(2).index_copy(2, rows, expected.transpose(1, 2))
            vectors = vectors.unflatten(2, (side, side))
        # Row by row: a convolution over several pictures rounds otherwise than one over each.
        pairs = zip(feature_map.contiguous().split(1), vectors.contiguous().split(1), strict=True)
        feature_map = torch.cat([quantizer.add(k, before, new) for before, new in pairs])
        if anchor is not None and k + 1 == len(quantizer.scales):
            feature_map = anchored(feature_map, anchor, regenerate[k])
        likely, spoken = (
            total.repeat_interleave(batch // len(total)) for total in (likelihood, speaking)
        )
        yield ScaleStep(k, side, ids, feature_map, likely, drawn, spoken)
