"""The VQVAE's towers over a part of a picture, for the fast mode.

Convolutions look a few pixels far, so a part can be computed with a margin; group normalisation
and attention look at the whole picture. Attention stays whole, at its low resolution. Where a
level is cut to a part, its normalisations take the mean and deviation that another picture had,
the one before the edit (`Norms`); everything else is exact.

A box is (top, left, bottom, right), half-open, in pixels of its own resolution.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.model.normalization import GroupNorm
from engine.model.var.autoencoder import Decoder, Encoder, Level, ResnetBlock, silu, total

Box = tuple[int, int, int, int]
Norms = dict[nn.Module, tuple[Tensor, Tensor]]
"""Of every normalisation the mean and the variance by channel, (C,) float32."""
Normalize = Callable[[GroupNorm, Tensor], Tensor]

CUT = 0.7  # a level is computed whole if its part would be more than this share of it


@dataclass(frozen=True)
class Encoded:
    """What the encoder's tower made of a picture: its output, and what a later part needs."""

    output: Tensor  # (1, z, S, S)
    entries: tuple[Tensor, ...]  # what entered each level but the first, finest first
    norms: Norms


def whole(norm: GroupNorm, x: Tensor) -> Tensor:
    """Normalise by the statistics of ``x`` itself."""
    return cast(Tensor, norm(x))


def recording(norms: Norms) -> Normalize:
    """As `whole`, noting the statistics."""

    def normalize(norm: GroupNorm, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        y, mean, rstd = torch.native_group_norm(
            x, norm.weight, norm.bias, batch, channels, height * width, norm.num_groups, norm.eps
        )
        each = channels // norm.num_groups
        variance = rstd[0].float().pow(-2) - norm.eps
        norms[norm] = (mean[0].float().repeat_interleave(each), variance.repeat_interleave(each))
        return y

    return normalize


def replaying(norms: Norms) -> Normalize:
    """Normalise by statistics that were noted."""

    def normalize(norm: GroupNorm, x: Tensor) -> Tensor:
        mean, variance = norms[norm]
        return F.batch_norm(
            x, mean, variance, norm.weight.float(), norm.bias.float(), False, 0.0, norm.eps
        )

    return normalize


def _residual(block: ResnetBlock, x: Tensor, normalize: Normalize) -> Tensor:
    h = block.conv1(silu(normalize(block.norm1, x)))
    h = block.conv2(silu(normalize(block.norm2, h)))
    return total(h, block.nin_shortcut(x))


def _blocks(level: Level, x: Tensor, normalize: Normalize) -> Tensor:
    for index, block in enumerate(level.block):
        x = _residual(cast(ResnetBlock, block), x, normalize)
        if len(level.attn):
            x = level.attn[index](x)
    return x


def _margin(level: Level) -> int:
    """How far a level's blocks look: two 3x3 convolutions each."""
    return 2 * len(level.block)


def _grow(box: Box, by: int, side: int) -> Box:
    top, left, bottom, right = box
    return max(top - by, 0), max(left - by, 0), min(bottom + by, side), min(right + by, side)


def _coarser(box: Box, factor: int) -> Box:
    """The cells of a ``factor`` times coarser grid that a box touches."""
    top, left, bottom, right = box
    return top // factor, left // factor, -(-bottom // factor), -(-right // factor)


def _finer(box: Box, factor: int) -> Box:
    return cast(Box, tuple(edge * factor for edge in box))


def _share(box: Box, side: int) -> float:
    return (box[2] - box[0]) * (box[3] - box[1]) / side**2


def _cut(x: Tensor, had: Box, wanted: Box) -> Tensor:
    """``wanted`` out of a map that covers ``had``; both in the map's own pixels."""
    top, left = had[:2]
    return x[:, :, wanted[0] - top : wanted[2] - top, wanted[1] - left : wanted[3] - left]


# Decoding


def decode_noting(decoder: Decoder, z: Tensor) -> tuple[Tensor, Norms]:
    """The decoder's picture of (1, z, S, S), and the statistics of its normalisations."""
    norms: Norms = {}
    normalize = recording(norms)
    h = decoder.mid(decoder.conv_in(z))
    for level in reversed(decoder.up):
        h = _blocks(cast(Level, level), h, normalize)
        if hasattr(level, "upsample"):
            h = cast(nn.Module, level.upsample)(h)
    h = decoder.conv_out(silu(normalize(decoder.norm_out, h)))
    return _picture(decoder, h, z), norms


def _picture(decoder: Decoder, h: Tensor, z: Tensor) -> Tensor:
    if decoder.stem > 1:
        h = F.pixel_shuffle(h, decoder.stem)
    return h if decoder.linear is None else h + decoder.linear(z)


def parts_to_decode(decoder: Decoder, box: Box, cells: int) -> list[Box]:
    """What each level, finest first, computes for a box of pixels; ``cells`` is the side of z."""
    levels = [cast(Level, level) for level in decoder.up]
    sides = [cells << (len(levels) - 1 - i) for i in range(len(levels))]
    wanted = _grow(_coarser(box, decoder.stem), 1, sides[0])  # conv_out looks one pixel far
    parts: list[Box] = []
    for level, side in zip(levels, sides, strict=True):
        everything = (0, 0, side, side)
        part = _grow(wanted, _margin(level), side)
        uncut = len(level.attn) > 0 or (parts and parts[-1] == _finer(everything, 2))
        parts.append(everything if uncut or _share(part, side) > CUT else part)
        wanted = _coarser(_grow(parts[-1], 1, side), 2)  # the upsampling convolution
    return parts


def decode_part(decoder: Decoder, z: Tensor, box: Box, norms: Norms) -> Tensor:
    """The pixels of ``box`` of the decoder's picture of (1, z, S, S): (1, 3, height, width).

    Levels that are cut take their statistics from ``norms``.
    """
    cells = z.shape[-1]
    parts = parts_to_decode(decoder, box, cells)
    replay = replaying(norms)
    h = decoder.mid(decoder.conv_in(z))
    for index in range(len(parts) - 1, -1, -1):
        level, part = cast(Level, decoder.up[index]), parts[index]
        side = cells << (len(parts) - 1 - index)
        normalize = whole if part == (0, 0, side, side) else replay
        h = _blocks(level, h, normalize)
        if index:
            source = _coarser(_grow(parts[index - 1], 1, 2 * side), 2)
            fine = cast(nn.Module, level.upsample)(_cut(h, part, source))
            h = _cut(fine, _finer(source, 2), parts[index - 1])
    h = decoder.conv_out(silu(normalize(decoder.norm_out, h)))
    if decoder.stem > 1:
        h = F.pixel_shuffle(h, decoder.stem)
    h = _cut(h, _finer(parts[0], decoder.stem), box)
    if decoder.linear is None:
        return h
    stride = decoder.linear.stride[0]
    near = _coarser(box, stride)
    rough = decoder.linear(_cut(z, (0, 0, cells, cells), near))
    return h + _cut(rough, _finer(near, stride), box)


# Encoding


def encode_noting(encoder: Encoder, x: Tensor) -> Encoded:
    """The tower's output for one picture (1, 3, H, W), with what a later part needs."""
    norms: Norms = {}
    h = encoder.conv_in(F.pixel_unshuffle(x, encoder.stem) if encoder.stem > 1 else x)
    return _encode_levels(encoder, 0, h, (), norms)


def _encode_levels(
    encoder: Encoder, first: int, h: Tensor, entries: tuple[Tensor, ...], norms: Norms
) -> Encoded:
    """The tower from the entry of level ``first`` on, whole."""
    normalize = recording(norms)
    for index in range(first, len(encoder.down)):
        level = cast(Level, encoder.down[index])
        entries = (*entries, h) if index else entries
        h = _blocks(level, h, normalize)
        if hasattr(level, "downsample"):
            h = cast(nn.Module, level.downsample)(h)
    h = encoder.conv_out(silu(normalize(encoder.norm_out, encoder.mid(h))))
    return Encoded(h, entries, norms)


def encode_part(encoder: Encoder, x: Tensor, changed: Box, before: Encoded) -> Tensor:
    """The tower's output for ``x``, which differs from an earlier picture in ``changed`` only.

    Fine levels are computed where something changed, with the earlier picture's statistics.
    """
    replay = replaying(before.norms)
    side = x.shape[-1] // encoder.stem
    shuffled = F.pixel_unshuffle(x, encoder.stem) if encoder.stem > 1 else x
    touched = _grow(_coarser(changed, encoder.stem), 1, side)  # conv_in looks one pixel far
    entry = shuffled
    for index in range(len(encoder.down) - 1):
        level = cast(Level, encoder.down[index])
        margin = _margin(level)
        top, left, bottom, right = _grow(touched, margin, side)
        after = (
            max((top - 1) // 2, 0),
            max((left - 1) // 2, 0),
            min((bottom + 1) // 2, side // 2),
            min((right + 1) // 2, side // 2),
        )  # cells of the next level whose three by three source pixels changed
        source = (2 * after[0], 2 * after[1], 2 * after[2] + 1, 2 * after[3] + 1)
        part = _grow(source, margin, side)
        if _share(part, side) > CUT:
            break
        if index == 0:
            wide = _grow(part, 1, side)
            fresh = encoder.conv_in(shuffled[:, :, wide[0] : wide[2], wide[1] : wide[3]])
            h = _cut(fresh, wide, part)
        else:
            h = _cut(entry, (0, 0, side, side), part)
        h = _cut(_blocks(level, h, replay), part, (*source[:2], *part[2:]))
        h = h[:, :, : source[2] - source[0], : source[3] - source[1]]
        conv = cast(nn.Conv2d, cast(nn.Module, level.downsample).conv)
        short = (source[3] - source[1] - h.shape[3], source[2] - source[0] - h.shape[2])
        h = conv(F.pad(h, (0, short[0], 0, short[1])))
        entry = before.entries[index].clone()
        entry[:, :, after[0] : after[2], after[1] : after[3]] = h
        side, touched = side // 2, after
    else:
        index = len(encoder.down) - 1
    if index == 0:
        entry = encoder.conv_in(shuffled)
    return _encode_levels(encoder, index, entry, (), {}).output
