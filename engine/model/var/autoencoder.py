"""Encoder and decoder of the VQVAE: residual convolutions, attention at the lowest resolution.

State-dict names are those of the official checkpoints. Pictures are (B, 3, H, W) in [-1, 1],
features (B, z, H / stride, W / stride).
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.model.normalization import group_norm
from engine.model.spec import VQVAESpec


def silu(x: Tensor) -> Tensor:
    """SiLU of a tensor that nobody else needs, in its own memory where no gradient is asked for."""
    return F.silu(x, inplace=not torch.is_grad_enabled())


def total(x: Tensor, shortcut: Tensor) -> Tensor:
    """``x + shortcut``, in the memory of ``x`` where no gradient is asked for."""
    return x + shortcut if torch.is_grad_enabled() else x.add_(shortcut)


class ResnetBlock(nn.Module):
    """GroupNorm, SiLU, 3x3 convolution, twice, with a shortcut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm1 = group_norm(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2 = group_norm(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.nin_shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = x
        for norm, conv in ((self.norm1, self.conv1), (self.norm2, self.conv2)):
            h = norm(h)  # each in the name of the one before, which is let go of
            h = silu(h)
            h = conv(h)
        return total(h, self.nin_shortcut(x))


class AttentionBlock(nn.Module):
    """Single-head self-attention over all positions of a small map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = group_norm(channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        qkv = self.qkv(self.norm(x)).reshape(batch, 3, channels, height * width)
        q, k, v = qkv.transpose(2, 3).unbind(1)  # (B, HW, C) each
        out = F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])[:, 0]
        out = out.transpose(1, 2).reshape(batch, channels, height, width)
        return total(self.proj_out(out), x)


class Downsample(nn.Module):
    """Stride-2 convolution, padded right and bottom only, as the official weights expect."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.conv(F.pad(x, (0, 1, 0, 1))))


class Upsample(nn.Module):
    """Nearest-neighbour doubling followed by a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest")))


class Level(nn.Module):
    """One resolution of a tower: residual blocks, attention at the lowest, a resampling step."""

    def __init__(self, inputs: int, outputs: int, *, blocks: int, lowest: bool) -> None:
        super().__init__()
        self.block = nn.ModuleList(
            ResnetBlock(inputs if i == 0 else outputs, outputs) for i in range(blocks)
        )
        self.attn = nn.ModuleList(AttentionBlock(outputs) for _ in range(blocks if lowest else 0))

    def forward(self, x: Tensor) -> Tensor:
        return through(self, self.block, self.attn, x)


def through(
    level: nn.Module, blocks: nn.ModuleList, attention: nn.ModuleList, x: Tensor
) -> Tensor:
    """A map's way through one resolution of a tower, whatever its state dict calls the blocks."""
    for index, block in enumerate(blocks):
        x = block(x)
        if len(attention):
            x = attention[index](x)
    for name in ("downsample", "upsample"):
        if hasattr(level, name):
            x = getattr(level, name)(x)
    return x


class Middle(nn.Module):
    """The bottleneck: block, attention, block."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block_1 = ResnetBlock(channels, channels)
        self.attn_1 = AttentionBlock(channels)
        self.block_2 = ResnetBlock(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.block_2(self.attn_1(self.block_1(x))))


class Encoder(nn.Module):
    """Picture (B, 3, H, W) to features (B, z, H / stride, W / stride).

    Each of its two parts, the tower and the linear projection, works in the precision of its own
    weights.
    """

    def __init__(self, spec: VQVAESpec) -> None:
        super().__init__()
        self.linear = (
            nn.Conv2d(3, spec.latent_channels, spec.stride, stride=spec.stride)
            if spec.linear_skip or spec.linear_encoder
            else None
        )
        self.has_tower = not spec.linear_encoder
        if not self.has_tower:
            return
        self.stem = spec.stem
        widths = [spec.width * m for m in spec.multipliers]
        self.conv_in = nn.Conv2d(3 * spec.stem**2, spec.width, 3, padding=1)
        self.down = nn.ModuleList()
        for i, width in enumerate(widths):
            lowest = i == len(widths) - 1
            level = Level(
                widths[i - 1] if i else spec.width,
                width,
                blocks=spec.blocks_per_level,
                lowest=lowest,
            )
            if not lowest:
                level.downsample = Downsample(width)
            self.down.append(level)
        self.mid = Middle(widths[-1])
        self.norm_out = group_norm(widths[-1])
        self.conv_out = nn.Conv2d(widths[-1], spec.latent_channels, 3, padding=1)

    @property
    def levels(self) -> list[nn.Module]:
        """Those of the tower, as they are run."""
        return list(self.down)

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.tower(x.to(self.conv_in.weight.dtype))] if self.has_tower else []
        if self.linear is not None:
            parts.append(self.linear(x.to(self.linear.weight.dtype)))
        return parts[0] if len(parts) == 1 else parts[0] + parts[1]

    def tower(self, x: Tensor) -> Tensor:
        """The convolutional part."""
        h = self.conv_in(F.pixel_unshuffle(x, self.stem) if self.stem > 1 else x)
        for level in self.levels:
            h = level(h)
        return cast(Tensor, self.conv_out(silu(self.norm_out(self.mid(h)))))


class Decoder(nn.Module):
    """Features (B, z, h, w) to a picture (B, 3, h * stride, w * stride), not clamped."""

    def __init__(self, spec: VQVAESpec) -> None:
        super().__init__()
        self.stem = spec.stem
        widths = [spec.width * m for m in spec.multipliers]
        self.conv_in = nn.Conv2d(spec.latent_channels, widths[-1], 3, padding=1)
        self.mid = Middle(widths[-1])
        levels: list[Level] = []
        for i, width in reversed(list(enumerate(widths))):
            lowest = i == len(widths) - 1
            level = Level(
                widths[-1] if lowest else widths[i + 1],
                width,
                blocks=spec.blocks_per_level + 1,
                lowest=lowest,
            )
            if i:
                level.upsample = Upsample(width)
            levels.insert(0, level)
        self.up = nn.ModuleList(levels)
        self.norm_out = group_norm(widths[0])
        self.conv_out = nn.Conv2d(widths[0], 3 * spec.stem**2, 3, padding=1)
        self.linear = (
            nn.ConvTranspose2d(spec.latent_channels, 3, spec.stride, stride=spec.stride)
            if spec.linear_skip
            else None
        )

    @property
    def levels(self) -> list[nn.Module]:
        """Those of the tower, as they are run."""
        return list(reversed(self.up))

    def forward(self, z: Tensor) -> Tensor:
        h = self.mid(self.conv_in(z))
        for level in self.levels:
            h = level(h)
        h = self.conv_out(silu(self.norm_out(h)))
        if self.stem > 1:
            h = F.pixel_shuffle(h, self.stem)
        return cast(Tensor, h if self.linear is None else h + self.linear(z))


def channels_last(module: nn.Module) -> None:
    """Store the 4-D weights of ``module`` so that CPU and GPU convolutions need no reordering."""
    for parameter in module.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
