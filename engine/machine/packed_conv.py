"""Convolutions of the VQVAE laid out once as oneDNN wants them, on CPUs.

`F.conv2d` rearranges a weight at every call, which takes as long as a small map's convolution
itself; the results are the same to the bit. Nearest-neighbour doubling and the convolution after it
become one convolution of the small map with 2x2 kernels, which has 4/9 of the products and the same
result but for rounding. The operators are not part of torch's public interface, so they are tried
first, and where they are not there, or differ, nothing is packed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.model.var.autoencoder import Upsample

CHANNELS_LAST = torch.channels_last


class PackedConv(nn.Module):
    """A convolution over a packed weight.

    ``side`` is that of the maps (B, C, side, side) that it is laid out for; others are right too.
    """

    weight: Tensor  # nothing in it; tells device and precision, as a convolution's does
    bias: Tensor | None

    def __init__(
        self, weight: Tensor, bias: Tensor | None, *, side: int, padding: int, stride: int = 1
    ) -> None:
        super().__init__()
        self.register_buffer("weight", weight.new_empty(0), persistent=False)
        self.register_buffer("bias", bias, persistent=False)
        self.side, self.padding, self.stride = side, padding, stride
        self.packed = self._laid_out(weight)

    @classmethod
    def of(cls, conv: nn.Conv2d, side: int) -> PackedConv:
        """The packed form of a square convolution without groups and dilation."""
        bias = None if conv.bias is None else conv.bias.data
        padding, stride = cast(tuple[int, ...], conv.padding)[0], conv.stride[0]
        return cls(conv.weight.data, bias, side=side, padding=padding, stride=stride)

    def _laid_out(self, weight: Tensor) -> Tensor:
        size = [1, weight.shape[1], self.side, self.side]
        padding, stride = [self.padding] * 2, [self.stride] * 2
        packed: Tensor = torch.ops.mkldnn._reorder_convolution_weight(
            weight.contiguous(), padding, stride, [1, 1], 1, size
        )
        return packed

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> PackedConv:
        """What `Module.to` does to every tensor; a precision without operators is not packed."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._hold(fn(self._dense()))
        return self

    def get_extra_state(self) -> tuple[Tensor, Tensor | None]:
        """What `state_dict` would not have of it: weight and bias, as they are."""
        return self._dense(), self.bias

    def set_extra_state(self, state: tuple[Tensor, Tensor | None]) -> None:
        weight, bias = state
        self._hold(weight)
        self.bias = None if bias is None else bias.to(weight.device)

    def _dense(self) -> Tensor:
        return self.packed.to_dense() if self.packed.is_mkldnn else self.packed

    def _hold(self, weight: Tensor) -> None:
        packs = can_pack_convolutions(weight.dtype)
        self.packed = self._laid_out(weight) if packs else weight.to(memory_format=CHANNELS_LAST)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H', W'), in channels_last."""
        if not self.packed.is_mkldnn:
            return F.conv2d(x, self.packed, self.bias, self.stride, self.padding)
        y = torch.ops.mkldnn._convolution_pointwise(
            x.contiguous(memory_format=CHANNELS_LAST), self.packed, self.bias,
            [self.padding] * 2, [self.stride] * 2, [1, 1], 1, "none", [], "",
        )  # fmt: skip
        return cast(Tensor, y)


class PackedUpsample(nn.Module):
    """Nearest-neighbour doubling and a 3x3 convolution, as one 2x2 convolution of the small map.

    Each of the four pixels that a cell becomes sees two of its neighbours in each direction: one
    row of the kernel falls on one of them, the sum of the other two on the other.
    """

    def __init__(self, conv: nn.Conv2d, side: int) -> None:
        super().__init__()
        bias = None if conv.bias is None else conv.bias.data.repeat(4)
        self.conv = PackedConv(four_phases(conv.weight.data), bias, side=side, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, 2 H, 2 W)."""
        y = self.conv(x)  # (B, 4 C, H + 1, W + 1)
        batch, channels, high, wide = y.shape
        shape = (batch, channels // 4, 2 * high - 2, 2 * wide - 2)
        out = torch.empty(
            shape, dtype=y.dtype, device=y.device, memory_format=CHANNELS_LAST
        )
        for index, phase in enumerate(y.chunk(4, dim=1)):
            down, right = divmod(index, 2)
            part = phase[:, :, down : down + high - 1, right : right + wide - 1]
            out[:, :, down::2, right::2] = part
        return out


def four_phases(weight: Tensor) -> Tensor:
    """Kernels (C', C, 3, 3) of a doubled map as those of the map itself, (4 C', C, 2, 2).

    One set for each of the four pixels of a cell: upper left, upper right, lower left, lower right.
    """

    def halves(w: Tensor, dim: int) -> tuple[Tensor, Tensor]:
        first, middle, last = w.float().unbind(dim)
        return (
            torch.stack([first, middle + last], dim),
            torch.stack([first + middle, last], dim),
        )

    phases = [phase for rows in halves(weight, 2) for phase in halves(rows, 3)]
    return torch.cat(phases).to(weight.dtype)


@cache
def can_pack_convolutions(dtype: torch.dtype) -> bool:
    """Whether this torch and processor have the operators, and they do what `F.conv2d` does."""
    if dtype not in (torch.float32, torch.bfloat16):
        return False
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 16, 24, 24, generator=generator).to(dtype)
    weight = torch.randn(32, 16, 3, 3, generator=generator).to(dtype)
    bias = weight[:, 0, 0, 0].clone()
    try:
        with torch.inference_mode():
            packed = PackedConv(weight, bias, side=24, padding=1)(x)
            plain = F.conv2d(x, weight, bias, padding=1)
    except (RuntimeError, AttributeError, NotImplementedError):
        return False
    return torch.allclose(packed.float(), plain.float(), rtol=1e-2, atol=1e-3)


def pack_convolutions(codec: nn.Module) -> bool:
    """Pack the convolutions of both towers of a codec in place, one after the other; False if they
    are not for this. The towers are like `VQVAE`'s, whatever their levels are called.

    The network has no official state dict any more: pack what is only to be run.
    """
    vqvae = cast(Any, codec)
    weight = vqvae.decoder.conv_out.weight
    if weight.device.type != "cpu" or not can_pack_convolutions(weight.dtype):
        return False
    with torch.inference_mode(False), torch.no_grad():
        _pack_decoder(vqvae)
        if vqvae.encoder.has_tower:
            _pack_encoder(vqvae)
    return True


def _pack_decoder(vqvae: Any) -> None:
    decoder, side = vqvae.decoder, vqvae.spec.scales[-1]
    decoder.conv_in = PackedConv.of(decoder.conv_in, side)
    _pack_within(decoder.mid, side)
    for level in decoder.levels:
        _pack_within(level, side)
        if hasattr(level, "upsample"):
            level.upsample = PackedUpsample(level.upsample.conv, side)
            side *= 2
    decoder.conv_out = PackedConv.of(decoder.conv_out, side)


def _pack_encoder(vqvae: Any) -> None:
    encoder, side = vqvae.encoder, vqvae.spec.side // vqvae.encoder.stem
    encoder.conv_in = PackedConv.of(encoder.conv_in, side)
    for level in encoder.levels:
        _pack_within(level, side)
        side //= 2 if hasattr(level, "downsample") else 1
    _pack_within(encoder.mid, side)
    encoder.conv_out = PackedConv.of(encoder.conv_out, side)


def _pack_within(module: nn.Module, side: int) -> None:
    """Pack every convolution in ``module`` but those that follow a doubling."""
    for name, child in module.named_children():
        if isinstance(child, nn.Conv2d):
            setattr(module, name, PackedConv.of(child, side))
        elif not isinstance(child, Upsample):
            _pack_within(child, side)
