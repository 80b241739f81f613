"""Two predictors of one codebook in turn: a large one for the coarse scales, a small one for the
rest (CoDe: Chen et al. 2025, "Collaborative Decoding")."""

from __future__ import annotations

from torch import Tensor

from engine.model.family import Predictor


class Relay:
    """``first`` predicts the scales before ``switch``, ``second`` those from there on.

    What the second one did not predict it has read nevertheless, all of it at its first turn.
    """

    def __init__(self, first: Predictor, second: Predictor, switch: int) -> None:
        self.first = first
        self.second = second
        self.switch = switch

    def skip(self, k: int, inputs: Tensor) -> None:
        if k < self.switch:
            self.first.skip(k, inputs)
        self.second.skip(k, inputs)

    def logits(self, k: int, inputs: Tensor, rows: Tensor, branches: int = 1) -> Tensor:
        if k >= self.switch:
            return self.second.logits(k, inputs, rows, branches)
        logits = self.first.logits(k, inputs, rows, branches)
        self.second.skip(k, inputs)
        return logits
