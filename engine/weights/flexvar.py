"""FlexVAR's files: its tokenizer and its transformer, as the authors name their tensors."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from engine.model.attention import Attention, sdpa
from engine.model.flexvar.autoencoder import FlexVAE
from engine.model.flexvar.pair import FlexVARPair
from engine.model.flexvar.spec import FlexVAESpec, FlexVARSpec
from engine.model.flexvar.transformer import FlexVAR
from engine.model.spec import HEAD_SIZE, SCALES_256, Scales
from engine.weights.layout import FamilyLayout, Layout
from engine.weights.metadata import LayoutError
from engine.weights.shapes import Shape, Shapes, count, dims
from engine.weights.skeleton import without_memory
from engine.weights.var import ATTENTION_BIAS, PIXELS_IN, no_key_bias, towers

USED = "quantize.codebook_used"  # ids that training used lately; of no use to us
USED_LENGTH = 65536
ONE = (1, 1)  # reach of the convolution before the codes; of VAR's it is 3 x 3


class FlexVAELayout(Layout):
    """FlexVAR's tokenizer."""

    kind, nested = "FlexVAE", "model"
    buffers = (USED,)

    def tells(self, shapes: Shapes) -> bool:
        ours = "post_quant_conv.weight" in shapes and shapes.get("quant_conv.weight", ())[2:] == ONE
        return ours or any(name.startswith("encoder.conv_blocks.") for name in shapes)

    def infer(self, shapes: Shapes, scales: Scales | None) -> FlexVAESpec:
        codebook_size, latent_channels = dims(shapes, "quantize.embedding.weight", 2)
        if "encoder.linear.weight" in shapes:
            linear = {"linear_skip", "linear_encoder"}  # of a small one both
            own = {name: size for name, size in towers(shapes).items() if name not in linear}
            return FlexVAESpec(
                scales=scales or SCALES_256,
                codebook_size=codebook_size,
                latent_channels=latent_channels,
                encoded_channels=dims(shapes, "quant_conv.weight", 4)[1],
                **own,
            )
        width, _, _, _ = dims(shapes, PIXELS_IN, 4)
        levels = count(shapes, r"encoder\.conv_blocks\.(\d{1,4})\.")
        outputs = [
            dims(shapes, f"encoder.conv_blocks.{i}.res.0.conv1.weight", 4)[0]
            for i in range(levels)
        ]
        if any(channels == 0 or channels % width for channels in outputs):
            raise LayoutError(f"expected levels in multiples of {width} channels, found {outputs}")
        return FlexVAESpec(
            scales=scales or SCALES_256,
            codebook_size=codebook_size,
            latent_channels=latent_channels,
            encoded_channels=dims(shapes, "encoder.conv_out.weight", 4)[0],
            width=width,
            multipliers=tuple(channels // width for channels in outputs),
            blocks_per_level=count(shapes, r"encoder\.conv_blocks\.0\.res\.(\d{1,4})\."),
        )

    def skeleton(self, spec: FlexVAESpec, attention: Attention = sdpa) -> FlexVAE:
        with without_memory():
            return FlexVAE(spec)

    def state_shapes(self, spec: FlexVAESpec) -> dict[str, Shape]:
        return {**super().state_shapes(spec), USED: (USED_LENGTH,)}

    def fits(self, name: str, found: Shape, expected: Shape) -> bool:
        return name == USED or found == expected


class FlexVARLayout(Layout):
    """FlexVAR's transformer."""

    kind, nested = "FlexVAR", "var_wo_ddp"
    buffers = (ATTENTION_BIAS, "zero_k_bias")

    def tells(self, shapes: Shapes) -> bool:
        return len(shapes.get("pos_1LC", ())) == 4 and "lvl_embed.weight" not in shapes

    def infer(self, shapes: Shapes, scales: Scales | None) -> FlexVARSpec:
        """The ``scales`` are not in its state dict: any schedule will do."""
        _, width, grid, _ = dims(shapes, "pos_1LC", 4)
        if width == 0 or width % HEAD_SIZE:
            raise LayoutError(f"expected a width in multiples of {HEAD_SIZE}, found {width}")
        classes, _ = dims(shapes, "class_emb.weight", 2)
        if classes < 2:
            raise LayoutError(f"expected at least one class and \"no label\", found {classes} rows")
        return FlexVARSpec(
            depth=count(shapes, r"blocks\.(\d{1,4})\."),
            width=width,
            scales=scales or SCALES_256,
            num_classes=classes - 1,
            codebook_size=dims(shapes, "head.weight", 2)[0],
            latent_channels=dims(shapes, "word_embed.weight", 2)[1],
            mlp_ratio=dims(shapes, "blocks.0.ffn.fc1.weight", 2)[0] // width,
            shared_adaln="blocks.0.ada_gss" in shapes,
            l2_norm="blocks.0.attn.scale_mul_1H11" in shapes,
            grid=grid,
        )

    def skeleton(self, spec: FlexVARSpec, attention: Attention = sdpa) -> FlexVAR:
        with without_memory():
            return FlexVAR(spec, attention)

    def state_shapes(self, spec: FlexVARSpec) -> dict[str, Shape]:
        tokens = spec.num_tokens
        return {**super().state_shapes(spec), ATTENTION_BIAS: (1, 1, tokens, tokens)}

    def fits(self, name: str, found: Shape, expected: Shape) -> bool:
        """The mask is that of whatever schedule was trained last, perhaps padded."""
        return name == ATTENTION_BIAS or found == expected

    def made(self, network: nn.Module, spec: FlexVARSpec, dtype: torch.dtype) -> dict[str, Tensor]:
        return no_key_bias(network, spec, dtype)


FAMILY = FamilyLayout(FlexVAELayout(), FlexVARLayout(), FlexVARPair)
