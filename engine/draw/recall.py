"""Rolling again: calls that an earlier run had in the same order are not computed again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.model.family import Held, Resumable

Reads = tuple[tuple[int, Tensor], ...]
"""Scales that were skipped, and the one that was asked for, each with its inputs."""


@dataclass(frozen=True)
class Seen:
    """One call of a predictor: what it was given, and the logits that it gave."""

    reads: Reads
    rows: Tensor
    logits: Tensor  # (branches * N, n, V)

    def same(self, reads: Reads, rows: Tensor, needed: int) -> bool:
        """Whether a call is this one again, to the bit, and ``needed`` rows of logits are here."""
        if needed > len(self.logits) or len(reads) != len(self.reads):
            return False
        return torch.equal(rows, self.rows) and all(
            k == own and torch.equal(inputs, theirs)
            for (k, inputs), (own, theirs) in zip(reads, self.reads, strict=True)
        )


@dataclass(frozen=True)
class Recall:
    """A run's calls, as long as its variations were the same, and what its predictor left."""

    seen: Sequence[Seen]
    held: Held

    @property
    def nbytes(self) -> int:
        return self.held.nbytes + sum(call.logits.nbytes for call in self.seen)


class Remembering:
    """A predictor that knows the calls of an earlier run of the same labels, and notes its own.

    Once a call is another one, the run goes on from what the earlier one held up to there.
    """

    def __init__(self, inner: Resumable, recall: Recall | None, scales: int) -> None:
        self.inner = inner
        self.scales = scales
        self._recall = recall
        self._seen: list[Seen] = []
        self._waiting: Reads = ()
        self._first = 0  # the scale after the last call
        self._rows = 0  # of the last call
        self._branches = 0  # of the first one
        self._noting = True

    def skip(self, k: int, inputs: Tensor) -> None:
        self._waiting = (*self._waiting, (k, inputs))

    def logits(self, k: int, inputs: Tensor, rows: Tensor, branches: int = 1) -> Tensor:
        reads, self._waiting = (*self._waiting, (k, inputs)), ()
        recall, number = self._recall, len(self._seen)
        before, self._rows = self._rows or len(inputs), len(inputs)
        self._branches = self._branches or branches
        if recall is not None and number < len(recall.seen):
            again = recall.seen[number]
            needed = branches * len(inputs)
            if again.same(reads, rows, needed):
                self._seen.append(again)
                self._first = k + 1
                return again.logits[:needed]
        if recall is not None:  # from here on it is another run
            self._recall = None
            if number:
                self.inner.resume(self._first, recall.held)
        for each, given in reads[:-1]:
            self.inner.skip(each, given)
        logits = self.inner.logits(k, inputs, rows, branches)
        # A later run can go on from calls with all branches, before variations differ. From the
        # last scale nothing goes on: there the logits are enough.
        alike = before == len(inputs)
        last = k + 1 == self.scales
        self._noting = self._noting and alike and (last or branches == self._branches)
        if self._noting:
            self._seen.append(Seen(reads, rows, logits))
        self._first = k + 1
        return logits

    def remembered(self) -> Recall | None:
        """What a later run may recall of this one; to be asked once it is over."""
        if self._recall is not None:
            return self._recall
        if not self._seen:
            return None
        held = self.inner.held(self._seen[-1].reads[-1][0] + 1)
        return None if held is None else Recall(self._seen, held)
