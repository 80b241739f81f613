"""FlexVAR as a family (`engine.model.family`): its tokenizer and its transformer, put together."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from engine.model.family import Labels
from engine.model.flexvar.autoencoder import FlexVAE
from engine.model.flexvar.scheme import Replacing
from engine.model.flexvar.transformer import FlexVAR
from engine.model.spec import Scales
from engine.model.var.predictor import CachedVAR, conditioned
from engine.model.var.transformer import Condition


@dataclass(frozen=True)
class FlexVARPair:
    """A model. The predictor is VAR's, of another transformer."""

    vae: FlexVAE
    var: FlexVAR

    @property
    def codec(self) -> FlexVAE:
        return self.vae

    @property
    def scheme(self) -> Replacing:
        return self.vae.scheme

    @property
    def device(self) -> torch.device:
        return self.var.pos_start.device

    @property
    def networks(self) -> tuple[FlexVAE, FlexVAR]:
        return self.vae, self.var

    @property
    def picture_bytes(self) -> int:
        """Every position's key and value in every block, with a label and without."""
        spec = self.var.spec
        return 4 * spec.depth * spec.width * spec.num_tokens * self.var.dtype.itemsize

    def condition(self, labels: Labels) -> Condition:
        return conditioned(self.var, labels)

    def predictor(self, condition: Condition, branches: int) -> CachedVAR:
        return CachedVAR(self.var, condition, branches)

    def at(self, scales: Scales) -> FlexVARPair:
        """The same networks for another schedule, and so perhaps another side."""
        return FlexVARPair(self.vae.at(scales), self.var.at(scales))
