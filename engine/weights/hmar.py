"""HMAR's files: its transformer, as its authors name the tensors, beside VAR's VQVAE."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from engine.model.attention import Attention, sdpa
from engine.model.hmar.pair import HMARPair
from engine.model.hmar.spec import HMARSpec
from engine.model.hmar.transformer import HMAR
from engine.model.spec import Scales
from engine.weights.layout import FamilyLayout
from engine.weights.shapes import Shapes, count
from engine.weights.skeleton import without_memory
from engine.weights.var import VQVAE_LAYOUT, VARLayout, sizes


def skeleton_hmar(spec: HMARSpec, attention: Attention = sdpa) -> HMAR:
    """The transformer without memory for its weights (torch's meta device)."""
    with without_memory():
        return HMAR(spec, attention)


class HMARLayout(VARLayout):
    """HMAR's transformer. Its buffers are VAR's."""

    kind = "HMAR"

    def tells(self, shapes: Shapes) -> bool:
        return "pos_1LC" in shapes and "word_embed_bias" in shapes

    def infer(self, shapes: Shapes, scales: Scales | None) -> HMARSpec:
        refined = count(shapes, r"ns_blocks\.(\d{1,4})\.")
        return HMARSpec(
            depth=count(shapes, r"base_blocks\.(\d{1,4})\.") + refined,
            refined=refined,
            **sizes(shapes, scales, head="ns_head", block="ns_blocks.0"),
        )

    def skeleton(self, spec: HMARSpec, attention: Attention = sdpa) -> HMAR:  # type: ignore[override]
        return skeleton_hmar(spec, attention)

    def visible(self, level: Tensor) -> Sequence[Tensor]:
        """Its own mask is that of a scale alone; VAR's, which its class is built on, hides less and
        is not looked at either."""
        return (level[:, None] == level, level[:, None] >= level)


FAMILY = FamilyLayout(VQVAE_LAYOUT, HMARLayout(), HMARPair)
