"""The fast mode: what the networks made of the picture as it was serves for all that stays.

Approximate. Once for a picture: its tokens run through the transformer (teacher-forced) and its
keys and values are kept; both towers of the VQVAE note their statistics. An edit then computes the
positions that are regenerated and a margin around them, and the towers near the mask only. Two
things are not exact: keys and values far from the mask are those of the picture with what is to go
still in it, and the towers' normalisations have its statistics.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from engine.fast import original as of
from engine.fast.original import Original
from engine.fast.predictor import Shortcut, Shortened
from engine.fast.towers import Box
from engine.model.family import Predictor
from engine.model.var.pair import VARPair
from engine.model.var.predictor import CachedVAR
from engine.model.var.transformer import Condition, KVCache


@dataclass(frozen=True)
class Fast:
    """The fast mode of a model of VAR's family. Pictures are (1, 3, S, S) in [-1, 1]."""

    model: VARPair

    def study(self, pixels: Tensor) -> Original:
        """What later edits of a picture need of it."""
        return of.study(self.model.vqvae, pixels)

    def cache(self, condition: Condition, original: Original, *, foresight: bool) -> KVCache:
        """The keys and values of a picture under the labels of a condition."""
        model = self.model
        return of.keys_and_values(
            model.vqvae, model.var, condition, original.maps, foresight=foresight
        )

    def shortened(
        self, inner: Predictor, cache: KVCache, positions: tuple[Tensor, ...]
    ) -> Shortened:
        """A predictor that computes some ``positions`` of each scale, and has a ``cache``, its own
        until it is restored, for the others."""
        assert isinstance(inner, CachedVAR)
        device = cache.store.device
        return Shortened(inner, Shortcut(cache, tuple(each.to(device) for each in positions)))

    def encode(self, pixels: Tensor, changed: Box, original: Original) -> Tensor:
        """Features (1, z, S, S) of a picture that differs from the original in a box only."""
        return of.encode_edit(self.model.vqvae, pixels, changed, original)

    def decode(self, feature_map: Tensor, box: Box, original: Original) -> Tensor:
        """A picture: decoded around ``box``, the original's elsewhere."""
        return of.decode_edit(self.model.vqvae, feature_map, box, original)
