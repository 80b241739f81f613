"""HMAR's `Scheme` (`engine.model.family`): VAR's quantizer, and a scale drawn in several rounds.

Of a scale that was drawn as a whole the ids that were least likely are hidden and drawn again, as
often as the schedule says (Kumbong et al. 2025, section 4). Of a scale that is known in part all
that was drawn is hidden once before that: the branch of the next scale has seen the known ids of
the coarser scales only, the mask branch sees those of this scale too, which is what it was
trained on.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.model.var.quantizer import Quantizer

Schedule = tuple[tuple[int, ...], ...]
"""For each scale how many of its ids become final in each round; their sum is s * s."""

REFINED = ((1,), (1, 3), (1, 1, 2, 5))  # of the first scales; the others are drawn once


def published_schedule(scales: tuple[int, ...]) -> Schedule:
    """The one that the authors draw with, for their scales; other scales are drawn once."""
    known = dict(zip((1, 2, 3), REFINED, strict=True))
    return tuple(known.get(side, (side * side,)) for side in scales)


@dataclass(frozen=True)
class Rounds:
    """The scheme. ``quantizer`` is the one of the VQVAE."""

    quantizer: Quantizer
    schedule: Schedule

    @property
    def scales(self) -> tuple[int, ...]:
        return self.quantizer.scales

    @property
    def codebook(self) -> Tensor:
        return self.quantizer.codebook

    def zeros(self, batch: int) -> Tensor:
        return self.quantizer.zeros(batch)

    def inputs(self, k: int, state: Tensor) -> Tensor:
        return self.quantizer.inputs(k, state)

    def lacking(self, k: int, state: Tensor, features: Tensor) -> Tensor:
        return self.quantizer.lacking(k, state, features)

    def kept(self, k: int, state: Tensor, features: Tensor) -> Tensor:
        return self.quantizer.kept(k, state, features)

    def advance(self, k: int, state: Tensor, vectors: Tensor) -> Tensor:
        return self.quantizer.advance(k, state, vectors)

    def as_state(self, features: Tensor) -> Tensor:
        return self.quantizer.as_state(features)

    def rounds(self, k: int, drawn: int) -> int:
        """As many as the schedule says, and one more if a part of the scale is kept."""
        return len(self.schedule[k]) + self._in_part(k, drawn)

    def doubtful(self, k: int, turn: int, chances: Tensor, before: Tensor | None) -> Tensor:
        """All in the round for what is known; later the least likely of what was hidden before."""
        drawn = chances.shape[1]
        turn -= self._in_part(k, drawn)
        if turn == 0:
            return torch.ones_like(chances, dtype=torch.bool)
        counts = self.schedule[k]
        hidden = round(sum(counts[turn:]) / sum(counts) * drawn)
        if before is not None:
            chances = chances.masked_fill(~before, torch.inf)
        order = chances.argsort(dim=1, stable=True)[:, :hidden]
        return torch.zeros_like(chances, dtype=torch.bool).scatter_(1, order, True)

    def inputs_again(self, k: int, state: Tensor, vectors: Tensor, hidden: Tensor) -> Tensor:
        """The map so far, what this scale's own ids add to it, and what is ``hidden``: (N, s * s,
        2 z + 1). The ids of hidden positions count in what is added, so they reach their neighbours
        (as in the authors' code)."""
        own = self.inputs(k, self.advance(k, torch.zeros_like(state), vectors))
        mark = hidden[..., None].to(own.dtype)
        return torch.cat([self.inputs(k, state), own, mark], dim=2)

    def _in_part(self, k: int, drawn: int) -> int:
        """1 if only some positions are drawn, else 0."""
        return int(drawn < self.scales[k] ** 2)
