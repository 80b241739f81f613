"""VAR's files: its VQVAE and its transformer, as the authors and we name their tensors."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

from engine.model.attention import Attention, sdpa
from engine.model.spec import (
    HEAD_SIZE,
    SCALES_256,
    SCALES_512,
    SCALES_DOUBLING,
    Scales,
    VARSpec,
    VQVAESpec,
)
from engine.model.var.pair import VARPair
from engine.model.var.transformer import VAR
from engine.model.var.vqvae import VQVAE
from engine.weights.file import WeightsFile
from engine.weights.layout import FamilyLayout, Layout
from engine.weights.metadata import LayoutError
from engine.weights.shapes import Shape, Shapes, count, dims, either
from engine.weights.skeleton import without_memory

KNOWN_SCALES = (SCALES_256, SCALES_512, SCALES_DOUBLING)
ATTENTION_BIAS = "attn_bias_for_masking"  # stored by the authors' code, never needed by ours
LEVELS = "lvl_1L"
PIXELS_IN, PIXELS_OUT = "encoder.conv_in.weight", "decoder.conv_out.weight"
HITS = "quantize.ema_vocab_hit_SV"  # usage statistics; rows of a file may differ from the scales


def skeleton_vqvae(spec: VQVAESpec) -> VQVAE:
    """The VQVAE without memory for its weights (torch's meta device)."""
    with without_memory():
        return VQVAE(spec)


def skeleton_var(spec: VARSpec, attention: Attention = sdpa) -> VAR:
    """The transformer without memory for its weights (torch's meta device)."""
    with without_memory():
        return VAR(spec, attention)


def towers(shapes: Shapes) -> dict[str, Any]:
    """The sizes of encoder and decoder, as `VQVAESpec` names them."""
    linear_encoder = PIXELS_IN not in shapes and "encoder.linear.weight" in shapes
    if linear_encoder:  # the decoder tells what the encoder does not
        pixels, width, _, _ = dims(shapes, PIXELS_OUT, 4)
        source, tower, more_blocks = PIXELS_OUT, "decoder.up", 1
    else:
        width, pixels, _, _ = dims(shapes, PIXELS_IN, 4)
        source, tower, more_blocks = PIXELS_IN, "encoder.down", 0
    stem = math.isqrt(pixels // 3)
    if width == 0 or stem == 0 or 3 * stem**2 != pixels:
        raise LayoutError(f"expected '{source}' of 3 x stem x stem channels, found {pixels}")
    levels = count(shapes, re.escape(tower) + r"\.(\d{1,4})\.")
    outputs = [dims(shapes, f"{tower}.{i}.block.0.conv1.weight", 4)[0] for i in range(levels)]
    blocks = count(shapes, re.escape(tower) + r"\.0\.block\.(\d{1,4})\.")
    odd = [channels for channels in outputs if channels == 0 or channels % width]
    if not outputs or odd:
        raise LayoutError(f"expected levels in multiples of {width} channels, found {outputs}")
    return {
        "width": width,
        "multipliers": tuple(channels // width for channels in outputs),
        "blocks_per_level": blocks - more_blocks,
        "stem": stem,
        "linear_skip": "decoder.linear.weight" in shapes,
        "linear_encoder": linear_encoder,
    }


class VQVAELayout(Layout):
    """VAR's tokenizer."""

    kind, nested = "VQVAE", "vae_local"
    buffers = (HITS,)

    def tells(self, shapes: Shapes) -> bool:
        return "quantize.embedding.weight" in shapes and "post_quant_conv.weight" in shapes

    def infer(self, shapes: Shapes, scales: Scales | None) -> VQVAESpec:
        """The scales are not in its state dict: they come from its partner."""
        codebook_size, latent_channels = dims(shapes, "quantize.embedding.weight", 2)
        return VQVAESpec(
            scales=scales or SCALES_256,
            codebook_size=codebook_size,
            latent_channels=latent_channels,
            phis=count(shapes, r"quantize\.quant_resi\.qresi_ls\.(\d{1,4})\."),
            **towers(shapes),
        )

    def skeleton(self, spec: VQVAESpec, attention: Attention = sdpa) -> VQVAE:
        return skeleton_vqvae(spec)

    def fits(self, name: str, found: Shape, expected: Shape) -> bool:
        """The rows of the usage statistics may differ."""
        return found[1:] == expected[1:] if name == HITS and found else found == expected

    def made(self, network: nn.Module, spec: VQVAESpec, dtype: torch.dtype) -> dict[str, Tensor]:
        return {HITS: torch.zeros(len(spec.scales), spec.codebook_size)}

    def check(self, source: WeightsFile, spec: VQVAESpec, made: dict[str, Tensor]) -> None:
        """Statistics may be any."""


class VARLayout(Layout):
    """VAR's transformer."""

    kind, nested = "VAR", "var_wo_ddp"
    buffers = (LEVELS, ATTENTION_BIAS, "zero_k_bias")

    def tells(self, shapes: Shapes) -> bool:
        return "pos_1LC" in shapes and "word_embed.weight" in shapes

    def infer(self, shapes: Shapes, scales: Scales | None) -> VARSpec:
        """``scales`` is what the file itself says of them (its ``lvl_1L``, or our metadata), if it
        does; else the schedule is the known one with as many positions as ``pos_1LC``."""
        return VARSpec(
            depth=count(shapes, r"blocks\.(\d{1,4})\."),
            **sizes(shapes, scales, head="head", block="blocks.0"),
            shared_adaln="blocks.0.ada_gss" in shapes,
            foresight="known_embed" in shapes,
        )

    def skeleton(self, spec: VARSpec, attention: Attention = sdpa) -> VAR:
        return skeleton_var(spec, attention)

    def scales_in(self, source: WeightsFile) -> Scales | None:
        if len(source.shapes.get(LEVELS, ())) != 2:
            return None
        return scales_of_levels(source.read(LEVELS).flatten().tolist())

    def state_shapes(self, spec: VARSpec) -> dict[str, Shape]:
        return {
            **super().state_shapes(spec),
            ATTENTION_BIAS: (1, 1, spec.num_tokens, spec.num_tokens),
        }

    def made(self, network: nn.Module, spec: VARSpec, dtype: torch.dtype) -> dict[str, Tensor]:
        buffers = {LEVELS: _levels(spec).view(1, -1)}
        return buffers | no_key_bias(network, spec, dtype)

    def check(self, source: WeightsFile, spec: VARSpec, made: dict[str, Tensor]) -> None:
        super().check(source, spec, made)
        if ATTENTION_BIAS in source.shapes:
            # Ours attends scale by scale and needs no mask; another mask would be another network.
            level, bias = _levels(spec), source.read(ATTENTION_BIAS)[0, 0]
            if not any(
                torch.equal(bias == 0, visible) and torch.equal(bias.isneginf(), ~visible)
                for visible in self.visible(level)
            ):
                raise LayoutError(f"expected a mask by scale in '{ATTENTION_BIAS}', found another")
            source.release(bias)

    def visible(self, level: Tensor) -> Sequence[Tensor]:
        """What positions of the scales ``level`` (L,) may see of each other, (L, L) bool: all that
        a stored mask may be."""
        return (level[:, None] >= level,)


def sizes(shapes: Shapes, scales: Scales | None, *, head: str, block: str) -> dict[str, Any]:
    """What a transformer's spec has of the shapes of its embeddings, a head and a block."""
    _, tokens, width = dims(shapes, "pos_1LC", 3)
    if width == 0 or width % HEAD_SIZE:
        raise LayoutError(f"expected a width in multiples of {HEAD_SIZE}, found {width}")
    if scales is None:
        known = {sum(side * side for side in each): each for each in KNOWN_SCALES}
        if tokens not in known:
            raise LayoutError(
                f"expected {either(known)} positions in 'pos_1LC', or a file that says its "
                f"scales, found {tokens}"
            )
        scales = known[tokens]
    elif sum(side * side for side in scales) != tokens:
        raise LayoutError(f"expected scales of {tokens} positions in all, found {scales}")
    codebook_size, _ = dims(shapes, f"{head}.weight", 2)
    classes, _ = dims(shapes, "class_emb.weight", 2)
    if classes < 2:
        raise LayoutError(f"expected at least one class and \"no label\", found {classes} rows")
    hidden, _ = dims(shapes, f"{block}.ffn.fc1.weight", 2)
    return {
        "width": width,
        "scales": scales,
        "num_classes": classes - 1,
        "codebook_size": codebook_size,
        "latent_channels": dims(shapes, "word_embed.weight", 2)[1],
        "mlp_ratio": hidden // width,
        "l2_norm": f"{block}.attn.scale_mul_1H11" in shapes,
    }


def no_key_bias(network: nn.Module, spec: Any, dtype: torch.dtype) -> dict[str, Tensor]:
    """The keys' bias of every block: none."""
    names = [name for name in network.state_dict() if name.endswith("zero_k_bias")]
    return {name: torch.zeros(spec.width, dtype=dtype) for name in names}


def _levels(spec: VARSpec) -> Tensor:
    """The scale index of every position, (L,)."""
    return torch.cat([torch.full((side * side,), k) for k, side in enumerate(spec.scales)])


def scales_of_levels(levels: Sequence[int]) -> Scales:
    """The schedule behind ``lvl_1L``: the scale index of every position, coarse to fine."""
    scales: list[int] = []
    for expected, (level, run) in enumerate(groupby(levels)):
        length = len(list(run))
        side = math.isqrt(length)
        if level != expected or side * side != length:
            raise LayoutError(
                f"expected '{LEVELS}' to number square maps 0, 1, 2, ..., "
                f"found {length} positions of level {level} in place {expected}"
            )
        scales.append(side)
    return tuple(scales)


VQVAE_LAYOUT, VAR_LAYOUT = VQVAELayout(), VARLayout()
FAMILY = FamilyLayout(VQVAE_LAYOUT, VAR_LAYOUT, VARPair)
