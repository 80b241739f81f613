"""Which network a state dict belongs to: from names and shapes to a spec, and back.

Works on names and shapes only, never on weights, so a foreign file is refused before any of it is
read. Every problem is a ``LayoutError`` saying what was expected and what was found; who knows the
file's name adds it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from engine.model.attention import Attention, sdpa
from engine.model.spec import HEAD_SIZE, SCALES_256, SCALES_512, SCALES_DOUBLING, VARSpec, VQVAESpec
from engine.model.var.transformer import VAR
from engine.model.var.vqvae import VQVAE
from engine.weights.metadata import LayoutError, Spec

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]

KNOWN_SCALES = (SCALES_256, SCALES_512, SCALES_DOUBLING)
ATTENTION_BIAS = "attn_bias_for_masking"  # stored by the authors' code, never needed by ours
LEVELS = "lvl_1L"
PIXELS_IN, PIXELS_OUT = "encoder.conv_in.weight", "decoder.conv_out.weight"
HITS = "quantize.ema_vocab_hit_SV"  # usage statistics; rows of a file may differ from the scales
BUFFERS = (LEVELS, ATTENTION_BIAS, "zero_k_bias", HITS)  # may be absent from a file


class _WithoutWork(TorchFunctionMode):
    """On the meta device, leaves out what a constructor does to weights that are not there.

    Initialisation works in place: nothing, without memory, but torch would first load hundreds of
    modules to do it (2.5 s). What is computed with (ticks, levels) is small and real.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if name.endswith("_") and not name.endswith("__"):
            target = args[0] if args else kwargs.get("tensor")
            if isinstance(target, Tensor) and target.is_meta:
                return target
        if func in (torch.linspace, torch.full, torch.randn):
            kwargs["device"] = "cpu"
        return func(*args, **kwargs)


@contextmanager
def _without_memory() -> Iterator[None]:
    with torch.device("meta"), _WithoutWork():
        yield


def skeleton_vqvae(spec: VQVAESpec) -> VQVAE:
    """The VQVAE without memory for its weights (torch's meta device)."""
    with _without_memory():
        return VQVAE(spec)


def skeleton_var(spec: VARSpec, attention: Attention = sdpa) -> VAR:
    """The transformer without memory for its weights (torch's meta device)."""
    with _without_memory():
        return VAR(spec, attention)


def state_shapes(spec: Spec) -> dict[str, Shape]:
    """Names and shapes of an official state dict of this spec, stored buffers included."""
    module = skeleton_vqvae(spec) if isinstance(spec, VQVAESpec) else skeleton_var(spec)
    shapes = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    if isinstance(spec, VARSpec):
        shapes[ATTENTION_BIAS] = (1, 1, spec.num_tokens, spec.num_tokens)
    return shapes


def is_buffer(name: str) -> bool:
    """Whether an entry is one of the stored buffers, which follow from the spec."""
    return name.endswith(BUFFERS)


def kind_of(shapes: Shapes) -> str | None:
    """"VAR" or "VQVAE" by the tell-tale names; None for anything else."""
    if "pos_1LC" in shapes and "word_embed.weight" in shapes:
        return "VAR"
    if "quantize.embedding.weight" in shapes and "post_quant_conv.weight" in shapes:
        return "VQVAE"
    return None


def require_kind(kind: str, shapes: Shapes) -> None:
    """Refuse a state dict of the partner, or of another network altogether."""
    found = kind_of(shapes)
    if found == kind:
        empty = [name for name, shape in shapes.items() if 0 in shape]
        if empty:
            raise LayoutError(f"expected weights in {_several(empty)}, found none")
        return
    if found is not None:
        raise LayoutError(f"expected a {kind}, found a {found}")
    if not shapes:
        raise LayoutError(f"expected the state dict of a {kind}, found no tensors")
    example = next(iter(shapes))
    raise LayoutError(
        f"expected the state dict of a {kind}, found another network's "
        f"({len(shapes)} tensors, such as {_short(example)})"
    )


def infer_vqvae(shapes: Shapes, scales: tuple[int, ...] = SCALES_256) -> VQVAESpec:
    """The spec of a VQVAE's state dict. The scales are not in it: they come from its partner."""
    require_kind("VQVAE", shapes)
    codebook_size, latent_channels = _dims(shapes, "quantize.embedding.weight", 2)
    linear_encoder = "encoder.conv_in.weight" not in shapes and "encoder.linear.weight" in shapes
    if linear_encoder:  # the decoder tells what the encoder does not
        pixels, width, _, _ = _dims(shapes, PIXELS_OUT, 4)
        source, tower, more_blocks = PIXELS_OUT, "decoder.up", 1
    else:
        width, pixels, _, _ = _dims(shapes, PIXELS_IN, 4)
        source, tower, more_blocks = PIXELS_IN, "encoder.down", 0
    stem = math.isqrt(pixels // 3)
    if width == 0 or stem == 0 or 3 * stem**2 != pixels:
        raise LayoutError(f"expected '{source}' of 3 x stem x stem channels, found {pixels}")
    levels = _count(shapes, re.escape(tower) + r"\.(\d{1,4})\.")
    outputs = [_dims(shapes, f"{tower}.{i}.block.0.conv1.weight", 4)[0] for i in range(levels)]
    blocks = _count(shapes, re.escape(tower) + r"\.0\.block\.(\d{1,4})\.")
    odd = [channels for channels in outputs if channels == 0 or channels % width]
    if not outputs or odd:
        raise LayoutError(f"expected levels in multiples of {width} channels, found {outputs}")
    return VQVAESpec(
        scales=scales,
        codebook_size=codebook_size,
        latent_channels=latent_channels,
        width=width,
        multipliers=tuple(channels // width for channels in outputs),
        blocks_per_level=blocks - more_blocks,
        phis=_count(shapes, r"quantize\.quant_resi\.qresi_ls\.(\d{1,4})\."),
        stem=stem,
        linear_skip="decoder.linear.weight" in shapes,
        linear_encoder=linear_encoder,
    )


def infer_var(shapes: Shapes, scales: tuple[int, ...] | None = None) -> VARSpec:
    """The spec of a transformer's state dict.

    ``scales`` is what the file itself says of them (its ``lvl_1L``, or our metadata), if it does;
    else the schedule is the known one with as many positions as ``pos_1LC``.
    """
    require_kind("VAR", shapes)
    _, tokens, width = _dims(shapes, "pos_1LC", 3)
    if width == 0 or width % HEAD_SIZE:
        raise LayoutError(f"expected a width in multiples of {HEAD_SIZE}, found {width}")
    if scales is None:
        known = {sum(side * side for side in each): each for each in KNOWN_SCALES}
        if tokens not in known:
            raise LayoutError(
                f"expected {_either(known)} positions in 'pos_1LC', or a file that says its "
                f"scales, found {tokens}"
            )
        scales = known[tokens]
    elif sum(side * side for side in scales) != tokens:
        raise LayoutError(f"expected scales of {tokens} positions in all, found {scales}")
    codebook_size, _ = _dims(shapes, "head.weight", 2)
    classes, _ = _dims(shapes, "class_emb.weight", 2)
    if classes < 2:
        raise LayoutError(f"expected at least one class and \"no label\", found {classes} rows")
    hidden, _ = _dims(shapes, "blocks.0.ffn.fc1.weight", 2)
    return VARSpec(
        depth=_count(shapes, r"blocks\.(\d{1,4})\."),
        width=width,
        scales=scales,
        num_classes=classes - 1,
        codebook_size=codebook_size,
        latent_channels=_dims(shapes, "word_embed.weight", 2)[1],
        mlp_ratio=hidden // width,
        shared_adaln="blocks.0.ada_gss" in shapes,
        l2_norm="blocks.0.attn.scale_mul_1H11" in shapes,
        foresight="known_embed" in shapes,
    )


def scales_of_levels(levels: Sequence[int]) -> tuple[int, ...]:
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


def require_layout(spec: Spec, shapes: Shapes) -> None:
    """Refuse a state dict whose names or shapes are not exactly those of ``spec``.

    Stored buffers may be absent, and the rows of the usage statistics may differ.
    """
    expected = state_shapes(spec)
    missing = [name for name in expected if name not in shapes and not is_buffer(name)]
    if missing:
        raise LayoutError(f"expected {len(expected)} tensors, found none for {_several(missing)}")
    extra = [name for name in shapes if name not in expected]
    if extra:
        raise LayoutError(f"expected {len(expected)} tensors, found {_several(extra)} as well")
    for name, found in shapes.items():
        wanted = expected[name]
        same = found[1:] == wanted[1:] if name == HITS and found else found == wanted
        if not same:
            raise LayoutError(f"expected '{name}' as {_by(wanted)}, found {_by(found)}")


def _dims(shapes: Shapes, name: str, rank: int) -> Shape:
    shape = shapes.get(name)
    if shape is None:
        raise LayoutError(f"expected a tensor '{name}', found none")
    if len(shape) != rank:
        raise LayoutError(f"expected '{name}' with {rank} dimensions, found {_by(shape)}")
    return shape


def _count(shapes: Shapes, pattern: str) -> int:
    """How many consecutive indices from 0 the names show at the group of ``pattern``; never 0."""
    matches = (re.match(pattern, name) for name in shapes)
    seen = {int(match.group(1)) for match in matches if match}
    if 0 not in seen:
        what = pattern.replace(r"(\d{1,4})", "0").replace("\\", "")
        raise LayoutError(f"expected tensors called '{what}...', found none")
    return next(i for i in range(len(seen) + 1) if i not in seen)


def _by(shape: Shape) -> str:
    return " x ".join(map(str, shape)) or "a single number"


def _either(numbers: Mapping[int, Any]) -> str:
    *first, last = sorted(numbers)
    return f"{', '.join(map(str, first))} or {last}"


def _several(names: Sequence[str]) -> str:
    others = len(names) - 1
    more = f" and {others} other{'s' if others > 1 else ''}" if others else ""
    return f"{_short(names[0])}{more}"


def _short(name: str) -> str:
    """A name from an unknown file, fit for one line."""
    return repr(name if len(name) <= 60 else name[:57] + "...")
