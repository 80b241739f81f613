"""The multi-scale VQVAE: picture <-> feature map <-> K token maps (Tian et al. 2024, 3.2). It is
VAR's `Codec` (`engine.model.family`)."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from engine.model.spec import VQVAESpec
from engine.model.var.autoencoder import Decoder, Encoder
from engine.model.var.quantizer import Quantizer


class VQVAE(nn.Module):
    """Pictures are (B, 3, H, W) in [-1, 1]; feature maps (B, z, S, S); ids (B, s * s)."""

    def __init__(self, spec: VQVAESpec) -> None:
        super().__init__()
        self.spec = spec
        self.encoder = Encoder(spec)
        self.decoder = Decoder(spec)
        self.quantize = Quantizer(spec)
        self.quant_conv = nn.Conv2d(spec.latent_channels, spec.latent_channels, 3, padding=1)
        self.post_quant_conv = nn.Conv2d(spec.latent_channels, spec.latent_channels, 3, padding=1)

    @property
    def side(self) -> int:
        """Side of the square picture in pixels."""
        return self.spec.side

    @property
    def scheme(self) -> Quantizer:
        return self.quantize

    @property
    def decoding(self) -> tuple[nn.Module, ...]:
        """The networks that `decode` runs."""
        return self.decoder, self.post_quant_conv

    def features(self, picture: Tensor) -> Tensor:
        """The continuous features f of a picture, (B, z, S, S)."""
        encoded = self.encoder(picture)
        return cast(Tensor, self.quant_conv(encoded.to(self.quant_conv.weight.dtype)))

    def encode(self, picture: Tensor) -> list[Tensor]:
        """K token maps of a picture, coarse to fine."""
        maps, _ = self.quantize.encode(self.features(picture))
        return maps

    def decode(self, feature_map: Tensor) -> Tensor:
        """A picture in [-1, 1] from a feature map of any side."""
        entering = self.post_quant_conv(feature_map.to(self.post_quant_conv.weight.dtype))
        return cast(Tensor, self.decoder(entering).clamp(-1, 1))
