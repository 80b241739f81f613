"""The next-scale loop: coarse to fine, keeping what is known and drawing what is not.

It knows no network: a predictor gives logits, a scheme says what ids do to the feature map
(`engine.model.family`), a keeper what is known. P pictures give B variations, B a multiple of P; as
long as the variations of a picture do not differ (nothing was drawn yet, or with one seed for all)
everything runs at P rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import torch
from torch import Tensor

from engine.draw.keeping import Keeper, each_for
from engine.draw.sampling import draw, expect
from engine.draw.sampling import noise as keyed_noise
from engine.model.family import Predictor, Refining, Scheme
from engine.plan.rules import Sampling

Evidence = Callable[[Tensor], Tensor]
"""Drawn ids (B, n) -> log p(ids | label) - log p(ids | no label), (B,)."""

Noise = Callable[..., Tensor]
"""As `engine.draw.sampling.noise`."""


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
        count = len(self.log_likelihood)
        ids, feature_map = (each_for(t, count) for t in (self.ids, self.feature_map))
        return replace(self, ids=ids, feature_map=feature_map)


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


@torch.inference_mode()
def generate(
    predictor: Predictor,
    keeper: Keeper,
    *,
    regenerate: list[Tensor],
    seeds: tuple[int, ...],
    sampling: Sampling,
    pictures: int = 1,
    frame: int = 0,
    coarse_seeds: tuple[int, ...] = (),
    evidence: Evidence | None = None,
    noise: Noise = keyed_noise,
) -> Iterator[ScaleStep]:
    """Yield one step a scale. ``regenerate`` holds a map (s * s,) for each scale, on the CPU.

    ``seeds`` has one seed a variation, B = len(seeds), those of one picture side by side. A scale k
    with a seed of its own, ``coarse_seeds[k]``, is drawn with that by all variations.
    ``evidence`` is asked after each scale what its tokens say for the label. Closing the iterator
    stops before the next scale.
    """
    scheme = keeper.scheme
    state = scheme.zeros(pictures)
    likelihood = spoken = torch.zeros(pictures, device=state.device)
    drawn = 0
    for k, side in enumerate(scheme.scales):
        positions = regenerate[k].nonzero()[:, 0]  # on the CPU: no waiting for the device
        inputs, chosen = keeper.inputs(k, state), None
        if len(positions):
            seeded = seeds if k >= len(coarse_seeds) else (coarse_seeds[k],) * pictures
            own = partial(noise, seeded, frame=frame)
            pen = _Pen(predictor, keeper, k, positions, sampling, own)
            chosen = pen.draw(state, inputs, 0)
            rows = len(seeded)
            state, likelihood, spoken = (each_for(t, rows) for t in (state, likelihood, spoken))
        elif k + 1 < len(scheme.scales):
            predictor.skip(k, inputs)
        ids = keeper.ids(k, state) if len(positions) < side * side else None
        if chosen is not None:
            for turn in range(1, scheme.rounds(k, len(positions))):
                chosen = pen.again(turn, chosen, state, ids)
            if evidence is not None and not pen.soft:
                spoken = spoken + evidence(chosen.ids)
            drawn += 0 if pen.soft else len(positions)
            likelihood = likelihood + chosen.chances.sum(1)
        ids, vectors = _together(scheme, ids, chosen)
        state = scheme.advance(k, state, vectors)
        if k + 1 == len(scheme.scales):
            state = keeper.finished(state)
        likely, speaking = (each_for(total, len(seeds)) for total in (likelihood, spoken))
        yield ScaleStep(k, side, ids, state, likely, drawn, speaking)


@dataclass(frozen=True)
class _Chosen:
    """What was drawn of a scale, at ``rows`` (n,) of its positions."""

    rows: Tensor
    ids: Tensor  # (B, n), -1 where no token was drawn
    vectors: Tensor  # (B, n, z)
    chances: Tensor  # (B, n), the logarithm of the probability that each id had
    doubtful: Tensor | None = None  # (B, n) bool, what the last round drew again


class _Pen:
    """Draws one scale, in as many rounds as there are."""

    def __init__(
        self,
        predictor: Predictor,
        keeper: Keeper,
        k: int,
        positions: Tensor,
        sampling: Sampling,
        noise: Noise,
    ) -> None:
        self.predictor, self.keeper, self.k = predictor, keeper, k
        self.positions, self.noise = positions, noise
        self.scheme = keeper.scheme
        self.sampling = sampling.at(k, len(self.scheme.scales))
        self.soft = sampling.is_soft(k, len(self.scheme.scales))

    def draw(self, state: Tensor, inputs: Tensor, turn: int) -> _Chosen:
        rows = self.positions.to(state.device)
        logits = self.predictor.logits(self.k, inputs, rows)
        uniform = self.noise(self.k, self.positions, turn=turn)
        hint = self.keeper.hint(self.k, state, rows)
        if hint is not None:
            logits = logits + hint
        codebook = self.scheme.codebook
        if self.soft:
            vectors = expect(logits, codebook, uniform, self.sampling)
            none = torch.full(vectors.shape[:2], -1, device=state.device)
            return _Chosen(rows, none, vectors, torch.zeros(none.shape, device=state.device))
        ids, chances = draw(logits, uniform, self.sampling)
        return _Chosen(rows, ids, codebook[ids], chances)

    def again(self, turn: int, before: _Chosen, state: Tensor, kept: Tensor | None) -> _Chosen:
        """Draw again what the scheme doubts of a scale whose ``kept`` ids are (N, s * s)."""
        scheme = cast(Refining, self.scheme)
        doubtful = scheme.doubtful(self.k, turn, before.chances, before.doubtful)
        _, vectors = _together(scheme, kept, before)
        hidden = torch.zeros(vectors.shape[:2], dtype=torch.bool, device=state.device)
        hidden[:, before.rows] = doubtful
        new = self.draw(state, scheme.inputs_again(self.k, state, vectors, hidden), turn)
        return _Chosen(
            before.rows,
            torch.where(doubtful, new.ids, before.ids),
            torch.where(doubtful[..., None], new.vectors, before.vectors),
            torch.where(doubtful, new.chances, before.chances),
            doubtful,
        )


def _together(
    scheme: Scheme, kept: Tensor | None, chosen: _Chosen | None
) -> tuple[Tensor, Tensor]:
    """Ids (N, s * s) and code vectors (N, s * s, z) of a scale, kept and drawn."""
    if kept is None:
        assert chosen is not None
        return chosen.ids, chosen.vectors
    vectors = scheme.codebook[kept]
    if chosen is None:
        return kept, vectors
    return (
        kept.index_copy(1, chosen.rows, chosen.ids),
        vectors.index_copy(1, chosen.rows, chosen.vectors),
    )
