"""One run's predictor from the model's own up: by a shortcut, if it has one, and recalling what an
earlier run had; and what is left of it when it is over."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from engine.draw.guidance import Source
from engine.draw.recall import Remembering
from engine.fast.mode import Fast
from engine.fast.pair import FastPair, ShortenedRelay
from engine.fast.predictor import Shortened
from engine.machine.device import out_of_memory
from engine.machine.memory import Memory
from engine.model.family import Labels, Predictor, Resumable


@dataclass(frozen=True)
class Loan:
    """What the fast mode lends one run: a cache that is the borrower's alone until it is put back
    under its name, and the positions that are computed nevertheless."""

    name: Hashable
    cache: Any  # what this fast mode made of the picture
    positions: tuple[Tensor, ...]


class Chain:
    """Builds a predictor, once, and clears up after it. Without a ``key`` nothing is recalled or
    remembered of the run."""

    def __init__(
        self,
        source: Source,
        fast: Fast | FastPair | None,
        loan: Loan | None,
        memory: Memory,
        key: Hashable,
        *,
        scales: int,
    ) -> None:
        self.source = source
        self.scales = scales
        self.fast = fast
        self.loan = loan
        self.memory = memory
        self.key = key
        self._shortened: Shortened | ShortenedRelay | None = None
        self._remembering: Remembering | None = None

    def predictor(self, labels: Labels, number: int) -> Predictor:
        """For some labels in so many branches."""
        predictor = self.source(labels, number)
        if self.loan is not None:
            assert self.fast is not None, "who lends is there"
            predictor = self.fast.shortened(predictor, self.loan.cache, self.loan.positions)
            self._shortened = predictor
        if self.key is None or not isinstance(predictor, Resumable):
            return predictor
        self._remembering = Remembering(predictor, self.memory.get(self.key), self.scales)
        return self._remembering

    def close(self, *, remember: bool) -> None:
        """Keep what a later run may recall, and put back what was lent."""
        if remember and self._remembering is not None:
            self._remember(self._remembering)
        if self._shortened is not None:
            self._shortened.restore()
        if self.loan is not None and remember:
            self.memory.put(self.loan.name, self.loan.cache, self.loan.cache.nbytes)

    def _remember(self, remembering: Remembering) -> None:
        """Where there is no memory for that, nothing."""
        try:
            recall = remembering.remembered()
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            return
        if recall is not None:
            self.memory.put(self.key, recall, recall.nbytes)
