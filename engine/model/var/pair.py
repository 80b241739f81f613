"""VAR as a family (`engine.model.family`): its VQVAE and its transformer, put together."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from engine.model.family import Labels
from engine.model.var.predictor import CachedVAR, conditioned
from engine.model.var.quantizer import Quantizer
from engine.model.var.transformer import VAR, Condition
from engine.model.var.vqvae import VQVAE


class Cached:
    """What models have in common whose predictor is one transformer behind its cache."""

    var: VAR

    @property
    def device(self) -> torch.device:
        return self.var.pos_start.device

    @property
    def picture_bytes(self) -> int:
        """Every position's key and value in every block, with a label and without."""
        spec = self.var.spec
        return 4 * spec.depth * spec.width * spec.num_tokens * self.var.dtype.itemsize

    def condition(self, labels: Labels) -> Condition:
        """What the labels decide: it takes reading a third of the weights."""
        return conditioned(self.var, labels)

    def predictor(self, condition: Condition, branches: int) -> CachedVAR:
        return CachedVAR(self.var, condition, branches)


@dataclass(frozen=True)
class VARPair(Cached):
    """A model: codec and scheme are the VQVAE and its quantizer."""

    vqvae: VQVAE
    var: VAR

    @property
    def codec(self) -> VQVAE:
        return self.vqvae

    @property
    def scheme(self) -> Quantizer:
        return self.vqvae.quantize

    @property
    def networks(self) -> tuple[VQVAE, VAR]:
        return self.vqvae, self.var
