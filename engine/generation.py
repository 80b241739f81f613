"""The next-scale loop: coarse to fine, keeping what is known and drawing what is not.

The loop itself knows no transformer: it asks a predictor for logits, so that it can be tested
with planted ones. P pictures give B variations, B a multiple of P; as long as nothing has been
drawn all variations of a picture are the same, and everything runs at P rows only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from engine.model.quantizer import Quantizer
from engine.model.var import VAR, KVCache
from engine.sampling import Sampling, draw, guide, noise

Keeper = Callable[[int, Tensor], Tensor]
"""(scale k, feature map so far (N, z, S, S)) -> the ids that are kept at k, (N, s * s)."""


class Predictor(Protocol):
    """Logits over the codebook, scale by scale; scales come in order, each exactly once."""

    def skip(self, k: int, inputs: Tensor) -> None:
        """Scale k is fully kept: it is context for later scales, nothing more."""

    def logits(self, k: int, inputs: Tensor, rows: Tensor) -> Tensor:
        """Logits (N, len(rows), V) of scale k at ``rows``; inputs are (N, s * s, z)."""


@dataclass(frozen=True)
class ScaleStep:
    """One finished scale: its token map and the feature map up to it.

    Until something has been drawn the variations are the same and N is P, the number of pictures;
    from then on N is B.
    """

    index: int
    side: int
    ids: Tensor  # (N, s * s)
    feature_map: Tensor  # (N, z, S, S)
    log_likelihood: Tensor  # (B,), natural logarithm, of all tokens drawn so far
    drawn: int  # how many tokens were drawn so far, per variation


class TransformerPredictor:
    """VAR behind a K/V cache. Fully kept scales wait, and run together with the next drawn one.

    ``label`` None is "no label": the two branches of guidance would be equal, so one is run.
    Guided runs hold 2 N rows, conditional first.
    """

    def __init__(self, var: VAR, label: int | None, sampling: Sampling) -> None:
        self.var = var
        self.sampling = sampling
        self.guided = label is not None and sampling.guidance > 0
        device = var.pos_start.device
        no_label = var.spec.no_label
        ids = [no_label if label is None else label] + ([no_label] if self.guided else [])
        self.condition = var.condition(torch.tensor(ids, device=device))
        self.cache: KVCache | None = None
        self.rows = 0
        self.waiting: list[Tensor] = []
        self.first = 0

    def skip(self, k: int, inputs: Tensor) -> None:
        self.waiting.append(inputs)

    def logits(self, k: int, inputs: Tensor, rows: Tensor) -> Tensor:
        self._grow(inputs.shape[0])
        runs = [*self.waiting, inputs]
        if self.first == 0:
            runs = runs[1:]  # the first scale reads the label, no feature map
        count = inputs.shape[0]
        stacked = torch.cat([r.expand(count, -1, -1) for r in runs], dim=1) if runs else None
        if stacked is not None and self.guided:
            stacked = torch.cat([stacked, stacked])
        bounds = self.var.spec.bounds
        offset = bounds[k][0] - bounds[self.first][0]
        condition = self.condition.expand(count)
        hidden = self.var.run(
            stacked, condition, first=self.first, last=k, cache=self.cache, rows=rows + offset
        )
        self.waiting, self.first = [], k + 1
        logits = self.var.logits(hidden, condition)
        if not self.guided:
            return logits
        conditional, unconditional = logits.chunk(2)
        strength = self.sampling.guidance_at(k, len(self.var.spec.scales))
        return guide(conditional, unconditional, strength)

    def _grow(self, count: int) -> None:
        """A cache for ``count`` rows; those that are there are repeated."""
        if self.cache is None:
            rows = count * (2 if self.guided else 1)
            weight = self.var.head.weight
            self.cache = KVCache(self.var.spec, rows, device=weight.device, dtype=weight.dtype)
        elif count > self.rows:
            self.cache = self.cache.repeat(count // self.rows)
        self.rows = count


def replay(maps: list[Tensor]) -> Keeper:
    """Keep the ids that encoding the picture gave (the rule "paper")."""
    return lambda k, feature_map: maps[k].expand(feature_map.shape[0], -1)


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
    pictures: int = 1,
    frame: int = 0,
) -> Iterator[ScaleStep]:
    """Yield one step a scale. ``regenerate`` holds a map (s * s,) for each scale, on the CPU.

    ``seeds`` has one seed a variation, B = len(seeds), those of one picture side by side.
    Without a ``keeper`` every map must be all True. Closing the iterator stops before the
    next scale.
    """
    batch = len(seeds)
    feature_map = quantizer.zeros(pictures)
    device = feature_map.device
    likelihood = torch.zeros(batch, device=device)
    drawn = 0
    for k, side in enumerate(quantizer.scales):
        positions = regenerate[k].nonzero()[:, 0]  # on the CPU: no waiting for the device
        rows = positions.to(device)
        inputs = quantizer.next_input(k, feature_map)
        if rows.numel():
            logits = predictor.logits(k, inputs, rows)
            uniform = noise(seeds, k, positions, frame=frame)
            chosen, chance = draw(logits, uniform, sampling)
            likelihood = likelihood + chance.sum(1)
            drawn += rows.numel()
            if feature_map.shape[0] < batch:
                feature_map = feature_map.repeat_interleave(batch // pictures, dim=0)
        elif k + 1 < len(quantizer.scales):
            predictor.skip(k, inputs)
        if rows.numel() == side * side:
            ids = chosen
        else:
            assert keeper is not None, "something is to be kept, but nothing is known"
            ids = keeper(k, feature_map)
            if rows.numel():
                ids = ids.index_copy(1, rows, chosen)
        feature_map = quantizer.add(k, feature_map, quantizer.look_up(k, ids))
        yield ScaleStep(k, side, ids, feature_map, likelihood, drawn)
