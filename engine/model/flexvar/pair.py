"""FlexVAR as a family (`engine.model.family`): its tokenizer and its transformer, put together."""

from __future__ import annotations

from dataclasses import dataclass

from engine.model.flexvar.autoencoder import FlexVAE
from engine.model.flexvar.scheme import Replacing
from engine.model.flexvar.transformer import FlexVAR
from engine.model.spec import Scales
from engine.model.var.pair import Cached


@dataclass(frozen=True)
class FlexVARPair(Cached):
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
    def networks(self) -> tuple[FlexVAE, FlexVAR]:
        return self.vae, self.var

    def at(self, scales: Scales) -> FlexVARPair:
        """The same networks for another schedule, and so perhaps another side."""
        return FlexVARPair(self.vae.at(scales), self.var.at(scales))
