"""A predictor that computes some positions only, in a cache that has the keys and values of all."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.model.family import Held
from engine.model.var.predictor import CachedVAR
from engine.model.var.transformer import KVCache


@dataclass(frozen=True)
class Shortcut:
    """All keys and values of the picture as it was, and the positions of each scale that are
    computed anew nevertheless. A run works in this very cache, so it must be the only one, and is
    asked to `Shortened.restore` it."""

    cache: KVCache
    computed: tuple[Tensor, ...]

    def places(self, bounds: tuple[tuple[int, int], ...]) -> Tensor:
        """Among all tokens the positions that are computed of the scales, from the first on, with
        these ``bounds``."""
        return torch.cat(
            [own + begin for own, (begin, _) in zip(self.computed, bounds, strict=False)]
        )


@dataclass(frozen=True)
class Computed:
    """What a run computed: keys and values, and at which positions among all tokens."""

    places: Tensor
    cache: KVCache

    @property
    def nbytes(self) -> int:
        return self.places.nbytes + self.cache.nbytes


class Shortened:
    """VAR by a shortcut (approximate), for one row a label and branch until variations differ."""

    def __init__(self, inner: CachedVAR, shortcut: Shortcut) -> None:
        self.inner = inner
        self.shortcut = shortcut
        self._bounds = inner.var.spec.bounds
        self._before: KVCache | None = None  # what the shortcut's cache had at its places
        inner.computed = shortcut.computed

    def skip(self, k: int, inputs: Tensor) -> None:
        self.inner.skip(k, inputs)

    def logits(self, k: int, inputs: Tensor, rows: Tensor, branches: int = 1) -> Tensor:
        if self._before is None:
            self._begin(0)
        return self.inner.logits(k, inputs, rows, branches)

    def resume(self, k: int, held: Held) -> None:
        assert isinstance(held, Computed)
        self._begin(k)
        self.shortcut.cache.put_back(held.places, held.cache)

    def held(self, scales: int) -> Held | None:
        if self._before is None:
            return None
        places = self.shortcut.places(self._bounds[:scales])
        return Computed(places, self.shortcut.cache.only(places))

    @torch.inference_mode()
    def restore(self) -> None:
        """Give the shortcut's cache back what it had, once the run is over."""
        if self._before is not None:
            self.shortcut.cache.put_back(self.shortcut.places(self._bounds), self._before)
            self._before = None

    def _begin(self, k: int) -> None:
        cache = self.shortcut.cache
        self._before = cache.only(self.shortcut.places(self._bounds))
        self.inner.begin(cache, k)
