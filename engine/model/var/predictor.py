"""VAR behind its cache of keys and values."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.model.family import Held, Labels
from engine.model.var.transformer import VAR, Condition, KVCache


class CachedVAR:
    """A predictor. Fully kept scales wait, and run together with the next drawn one.

    ``condition`` is of the labels, one or one a picture, of each branch in turn. The fast mode
    (`engine.fast`) begins with a full cache and says, for each scale, which positions are
    ``computed``.
    """

    def __init__(self, var: VAR, condition: Condition, branches: int = 1) -> None:
        self.var = var
        self.condition = condition
        self.labels = len(condition.start) // branches
        self.branches = branches
        self.computed: tuple[Tensor, ...] | None = None
        self._cache: KVCache | None = None
        self._rows = 0  # of the cache, in each branch
        self._waiting: list[Tensor] = []
        self._first = 0  # the scale that is run next, unless it waits
        self._shared: KVCache | None = None  # the cache while the variations were the same

    @classmethod
    def of(cls, var: VAR, labels: Labels, branches: int = 1) -> CachedVAR:
        """For labels whose condition is not known yet."""
        return cls(var, conditioned(var, labels), branches)

    def skip(self, k: int, inputs: Tensor) -> None:
        self._waiting.append(inputs)

    def logits(self, k: int, inputs: Tensor, rows: Tensor, branches: int = 1) -> Tensor:
        count = len(inputs)
        self._grow(count, branches)
        runs = [*self._waiting, inputs]
        if self._first == 0:
            runs = runs[1:]  # the first scale reads the label, no feature map
        stacked = None
        if runs:
            wide = [each.repeat_interleave(count // len(each), dim=0) for each in runs]
            stacked = torch.cat(wide, dim=1).repeat(branches, 1, 1)
        condition = self.condition.expand(count // self.labels).first(branches * count)
        hidden = self._run(k, stacked, condition, rows)
        self._waiting, self._first = [], k + 1
        return self.var.logits(hidden, condition)

    def begin(self, cache: KVCache, k: int = 0) -> None:
        """Go on from scale k with a cache, which is this predictor's own from now on."""
        self._cache = self._shared = cache
        self._rows = cache.rows // self.branches
        self._first = k

    def resume(self, k: int, held: Held) -> None:
        assert isinstance(held, KVCache)
        self.begin(held.copy(self.var.spec.bounds[k][0]), k)

    def held(self, scales: int) -> Held | None:
        return None if self._shared is None else self._shared.trimmed()

    def _run(
        self, k: int, stacked: Tensor | None, condition: Condition, rows: Tensor
    ) -> Tensor:
        """Hidden states of scale k at ``rows``; the scales that waited run with it."""
        bounds, computed = self.var.spec.bounds, None
        if self.computed is None:
            rows = rows + (bounds[k][0] - bounds[self._first][0])
        else:
            computed = list(self.computed[self._first : k + 1])
            before = sum(each.numel() for each in computed[:-1])
            rows = torch.searchsorted(computed[-1], rows) + before
        return self.var.run(
            stacked, condition, first=self._first, last=k, cache=self._cache, rows=rows,
            computed=computed,
        )  # fmt: skip

    def _grow(self, count: int, branches: int) -> None:
        """A cache for ``count`` rows in each branch; those that are there are repeated."""
        if self._cache is None:
            weight, total = self.var.head.weight, count * self.branches
            self.begin(KVCache(self.var.spec, total, device=weight.device, dtype=weight.dtype))
        assert self._cache is not None
        if self._cache.rows > branches * self._rows:
            self._cache = self._cache.first(branches * self._rows)
        self._cache = self._cache.repeat(count // self._rows)
        self._rows = count


def conditioned(var: VAR, labels: Labels) -> Condition:
    """All that labels decide; None is the class id "no label"."""
    ids = [var.spec.no_label if label is None else label for label in labels]
    return var.condition(torch.tensor(ids, device=var.pos_start.device))
