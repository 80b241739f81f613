"""FlexVAR's tokenizer: picture <-> features, and any token map -> picture. It is FlexVAR's `Codec`.

The towers are those of VAR's VQVAE but for the names in the state dict, which are the official
ones, and for queries, keys and values that are convolutions of their own.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from engine.model.flexvar.scheme import Replacing
from engine.model.flexvar.spec import FlexVAESpec
from engine.model.normalization import group_norm
from engine.model.spec import Scales
from engine.model.var import autoencoder as small
from engine.model.var.autoencoder import (
    Downsample,
    ResnetBlock,
    Upsample,
    silu,
    through,
    total,
)


class Attention(nn.Module):
    """Single-head self-attention over all positions of a small map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = group_norm(channels)
        self.q = nn.Conv2d(channels, channels, 1)
        self.k = nn.Conv2d(channels, channels, 1)
        self.v = nn.Conv2d(channels, channels, 1)
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm(x)
        q, k, v = (
            each(normed).flatten(2).transpose(1, 2)[:, None] for each in (self.q, self.k, self.v)
        )  # (B, 1, HW, C)
        out = F.scaled_dot_product_attention(q, k, v)[:, 0]
        return total(self.proj_out(out.transpose(1, 2).reshape(x.shape)), x)


class Level(nn.Module):
    """One resolution of a tower: residual blocks, attention at the lowest, a resampling step."""

    def __init__(self, inputs: int, outputs: int, *, blocks: int, lowest: bool) -> None:
        super().__init__()
        self.res = nn.ModuleList(
            ResnetBlock(inputs if i == 0 else outputs, outputs) for i in range(blocks)
        )
        self.attn = nn.ModuleList(Attention(outputs) for _ in range(blocks if lowest else 0))

    def forward(self, x: Tensor) -> Tensor:
        return through(self, self.res, self.attn, x)


def middle(channels: int) -> nn.ModuleList:
    """The bottleneck: block, attention, block."""
    ends = (ResnetBlock(channels, channels) for _ in range(2))
    return nn.ModuleList([next(ends), Attention(channels), next(ends)])


class Tower(nn.Module):
    """What encoder and decoder have in common. ``levels`` are in the order in which they run."""

    conv_in: nn.Conv2d
    conv_blocks: nn.ModuleList
    mid: nn.ModuleList
    norm_out: nn.Module
    conv_out: nn.Conv2d

    @property
    def levels(self) -> list[nn.Module]:
        return list(self.conv_blocks)

    def finish(self, h: Tensor) -> Tensor:
        return cast(Tensor, self.conv_out(silu(self.norm_out(h))))


class Encoder(Tower):
    """Picture (B, 3, H, W) to (B, encoded_channels, H / stride, W / stride)."""

    has_tower, stem = True, 1  # as `engine.machine.packed_conv` asks VAR's

    def __init__(self, spec: FlexVAESpec) -> None:
        super().__init__()
        widths = [spec.width * m for m in spec.multipliers]
        self.conv_in = nn.Conv2d(3, spec.width, 3, padding=1)
        self.conv_blocks = nn.ModuleList()
        for before, width in zip([spec.width, *widths], widths, strict=False):
            lowest = len(self.conv_blocks) == len(widths) - 1
            level = Level(before, width, blocks=spec.blocks_per_level, lowest=lowest)
            if not lowest:
                level.downsample = Downsample(width)
            self.conv_blocks.append(level)
        self.mid = middle(widths[-1])
        self.norm_out = group_norm(widths[-1])
        self.conv_out = nn.Conv2d(widths[-1], spec.encoded_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv_in(x.to(self.conv_in.weight.dtype))
        for part in (*self.levels, *self.mid):
            h = part(h)
        return self.finish(h)


class Decoder(Tower):
    """(B, encoded_channels, h, w) to a picture (B, 3, h * stride, w * stride), not clamped."""

    def __init__(self, spec: FlexVAESpec) -> None:
        super().__init__()
        widths = [spec.width * m for m in reversed(spec.multipliers)]
        self.conv_in = nn.Conv2d(spec.encoded_channels, widths[0], 3, padding=1)
        self.mid = middle(widths[0])
        self.conv_blocks = nn.ModuleList()
        for before, width in zip([widths[0], *widths], widths, strict=False):
            index = len(self.conv_blocks)
            level = Level(before, width, blocks=spec.blocks_per_level + 1, lowest=index == 0)
            if index < len(widths) - 1:
                level.upsample = Upsample(width)
            self.conv_blocks.append(level)
        self.norm_out = group_norm(widths[-1])
        self.conv_out = nn.Conv2d(widths[-1], 3, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        h = self.conv_in(z)
        for part in (*self.mid, *self.levels):
            h = part(h)
        return self.finish(h)


class Codebook(nn.Module):
    """The codes as they are stored: of any length, see `Replacing.codebook`."""

    def __init__(self, spec: FlexVAESpec) -> None:
        super().__init__()
        self.embedding = nn.Embedding(spec.codebook_size, spec.latent_channels)


class FlexVAE(nn.Module):
    """Pictures are (B, 3, H, W) in [-1, 1]; features (B, z, S, S); a map of any side s is a picture
    of 16 s pixels."""

    encoder: Encoder | small.Encoder
    decoder: Decoder | small.Decoder

    def __init__(self, spec: FlexVAESpec) -> None:
        super().__init__()
        self.spec = spec
        if spec.stem == 1:
            self.encoder, self.decoder = Encoder(spec), Decoder(spec)
        else:
            self.encoder, self.decoder = small.Encoder(spec.towers), small.Decoder(spec.towers)
        self.quantize = Codebook(spec)
        self.quant_conv = nn.Conv2d(spec.encoded_channels, spec.latent_channels, 1)
        reach = 1 if spec.stem == 1 else 3  # as the decoder is used to
        self.post_quant_conv = nn.Conv2d(
            spec.latent_channels, spec.encoded_channels, reach, padding=reach // 2
        )

    @property
    def side(self) -> int:
        """Side of the square picture in pixels."""
        return self.spec.side

    @property
    def scheme(self) -> Replacing:
        return Replacing(self.spec.scales, self.quantize.embedding)

    @property
    def decoding(self) -> tuple[nn.Module, ...]:
        """The networks that `decode` runs."""
        return self.decoder, self.post_quant_conv

    def features(self, picture: Tensor) -> Tensor:
        """The continuous features of a picture, (B, z, S, S), of any length."""
        encoded = self.encoder(picture)
        return cast(Tensor, self.quant_conv(encoded.to(self.quant_conv.weight.dtype)))

    def picture(self, token_map: Tensor) -> Tensor:
        """What code vectors (B, z, s, s) look like: (B, 3, 16 s, 16 s), not clamped."""
        entering = self.post_quant_conv(token_map.to(self.post_quant_conv.weight.dtype))
        return cast(Tensor, self.decoder(entering))

    def decode(self, feature_map: Tensor) -> Tensor:
        """A picture in [-1, 1] of `side` pixels; of a map that is not finished, enlarged."""
        picture = self.picture(feature_map)
        if picture.shape[-1] != self.side:
            picture = F.interpolate(picture.float(), size=(self.side, self.side), mode="bilinear")
        return picture.clamp(-1, 1)

    def at(self, scales: Scales) -> FlexVAE:
        """The same network, not a copy of it, for pictures of another schedule."""
        other = copy.copy(self)
        other.spec = replace(self.spec, scales=scales)
        return other
