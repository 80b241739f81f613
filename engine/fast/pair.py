"""The fast mode of two models in turn: each has its own keys and values of the picture; they share
what the tokenizer made of it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from engine.fast.mode import Fast
from engine.fast.original import Original
from engine.fast.predictor import Shortened
from engine.fast.towers import Box
from engine.model.family import Model, Predictor
from engine.model.relay import Conditions, Relay, Relayed
from engine.model.var.pair import VARPair
from engine.model.var.transformer import KVCache


@dataclass(frozen=True)
class Caches:
    """A picture's keys and values for either model."""

    first: KVCache
    second: KVCache

    @property
    def nbytes(self) -> int:
        return self.first.nbytes + self.second.nbytes


class ShortenedRelay(Relay):
    """Two shortened predictors in turn."""

    first: Shortened
    second: Shortened

    def restore(self) -> None:
        """Give either cache back what it had, once the run is over."""
        self.first.restore()
        self.second.restore()


@dataclass(frozen=True)
class FastPair:
    """As `engine.fast.mode.Fast`, of a `Relayed`."""

    first: Fast
    second: Fast

    def study(self, pixels: Tensor) -> Original:
        return self.second.study(pixels)

    def cache(self, condition: Conditions, original: Original, *, foresight: bool) -> Caches:
        first = self.first.cache(condition.first, original, foresight=foresight)
        second = self.second.cache(condition.second, original, foresight=foresight)
        return Caches(first, second)

    def shortened(
        self, inner: Predictor, cache: Caches, positions: tuple[Tensor, ...]
    ) -> ShortenedRelay:
        assert isinstance(inner, Relay)
        return ShortenedRelay(
            self.first.shortened(inner.first, cache.first, positions),
            self.second.shortened(inner.second, cache.second, positions),
            inner.switch,
        )

    def encode(self, pixels: Tensor, changed: Box, original: Original) -> Tensor:
        return self.second.encode(pixels, changed, original)

    def decode(self, feature_map: Tensor, box: Box, original: Original) -> Tensor:
        return self.second.decode(feature_map, box, original)


def fast_mode(model: Model) -> Fast | FastPair | None:
    """The fast mode of a model, if its family has one, or of two that have one each."""
    if isinstance(model, Relayed):
        first, second = fast_mode(model.first), fast_mode(model.second)
        if isinstance(first, Fast) and isinstance(second, Fast):
            return FastPair(first, second)
        return None
    return Fast(model) if isinstance(model, VARPair) else None
