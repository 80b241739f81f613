"""Two models of one codebook in turn: a large one for the coarse scales, a small one for the rest
(CoDe: Chen et al. 2025, "Collaborative Decoding Makes Visual Auto-Regressive Modeling Efficient").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from engine.model.family import Codec, Held, Labels, Model, Predictor, Resumable, Scheme

Read = tuple[tuple[int, Tensor], ...]
"""Scales, each with what was read of it."""


class Relay:
    """``first`` predicts the scales before ``switch``, ``second`` those from there on.

    What the second one did not predict it has read nevertheless, all of it at its first turn.
    """

    def __init__(self, first: Predictor, second: Predictor, switch: int) -> None:
        self.first = first
        self.second = second
        self.switch = switch
        self._read: Read = ()  # of the scales before the switch
        self._handed = False  # whether the second one has that
        self._rows = 0  # of the second one's first turn

    def skip(self, k: int, inputs: Tensor) -> None:
        if k < self.switch:
            self._read = (*self._read, (k, inputs))
            self.first.skip(k, inputs)
        else:
            self._hand_over()
            self.second.skip(k, inputs)

    def logits(self, k: int, inputs: Tensor, rows: Tensor, branches: int = 1) -> Tensor:
        if k < self.switch:
            self._read = (*self._read, (k, inputs))
            return self.first.logits(k, inputs, rows, branches)
        self._hand_over()
        self._rows = self._rows or len(inputs)
        return self.second.logits(k, inputs, rows, branches)

    def resume(self, k: int, held: Held) -> None:
        assert isinstance(held, Handed)
        if k > self.switch:
            assert isinstance(self.second, Resumable) and held.second is not None
            self.second.resume(k, held.second)
            self._handed = True
            return
        self._read = tuple(each for each in held.read if each[0] < k)
        if k < self.switch:
            assert isinstance(self.first, Resumable) and held.first is not None
            self.first.resume(k, held.first)

    def held(self, scales: int) -> Held | None:
        if not (isinstance(self.first, Resumable) and isinstance(self.second, Resumable)):
            return None
        alike = len(self._read[0][1]) if self._read else self._rows
        first = self.first.held(min(scales, self.switch))
        second = self.second.held(scales) if self._rows == alike else None
        if first is None and second is None:
            return None
        return Handed(first, second, tuple(e for e in self._read if len(e[1]) == alike))

    def _hand_over(self) -> None:
        if not self._handed:
            for k, inputs in self._read:
                self.second.skip(k, inputs)
        self._handed = True


@dataclass(frozen=True)
class Handed:
    """What a run of both left, as long as the variations were the same: what either holds, and what
    was read before the switch."""

    first: Held | None
    second: Held | None
    read: Read

    @property
    def nbytes(self) -> int:
        held = sum(each.nbytes for each in (self.first, self.second) if each is not None)
        return held + sum(inputs.nbytes for _, inputs in self.read)


@dataclass(frozen=True)
class Conditions:
    """What labels decide for either."""

    first: Any
    second: Any

    @property
    def nbytes(self) -> int:
        return int(self.first.nbytes + self.second.nbytes)


@dataclass(frozen=True)
class Relayed:
    """Two models as one (`engine.model.family`). They have one codec and one scheme."""

    first: Model
    second: Model
    switch: int

    @property
    def codec(self) -> Codec:
        return self.second.codec

    @property
    def scheme(self) -> Scheme:
        return self.second.scheme

    @property
    def device(self) -> torch.device:
        return self.second.device

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        return *self.first.networks, self.second.networks[-1]

    @property
    def picture_bytes(self) -> int:
        return self.first.picture_bytes + self.second.picture_bytes

    def condition(self, labels: Labels) -> Conditions:
        return Conditions(self.first.condition(labels), self.second.condition(labels))

    def predictor(self, condition: Conditions, branches: int) -> Relay:
        return Relay(
            self.first.predictor(condition.first, branches),
            self.second.predictor(condition.second, branches),
            self.switch,
        )
