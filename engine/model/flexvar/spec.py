"""Shapes of FlexVAR's two networks (Jiao et al. 2025, "FlexVAR: Flexible Visual Autoregressive
Modeling without Residual Prediction"; released code, commit 04462cb)."""

from __future__ import annotations

from dataclasses import dataclass

from engine.model.spec import HEAD_SIZE, SCALES_256, Scales, VARSpec, VQVAESpec

SCALES_9 = (1, 2, 3, 4, 5, 7, 10, 13, 16)
SCALES_13 = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16)
SCALES_15 = (*SCALES_13, 23, 32)  # 512 pixels
# Sides at which the authors draw; at others, and at the larger ones, they take the likeliest token.
PRACTISED = SCALES_256
CODES = 8912  # sic: not 8192
GRID = 32  # side of the stored grid of positions


@dataclass(frozen=True, kw_only=True)
class FlexVAESpec:
    """The tokenizer. One file serves every side, so ``scales`` is whatever is drawn with it.

    ``stem`` > 1 makes it one of our own, small enough for a CPU: its ``towers`` are those of such a
    VQVAE. The published ones have 1.
    """

    scales: Scales = SCALES_256
    codebook_size: int = CODES
    latent_channels: int = 32
    encoded_channels: int = 256  # of the encoder's output, before it is brought to those of a code
    width: int = 128
    multipliers: tuple[int, ...] = (1, 1, 2, 2, 4)
    blocks_per_level: int = 2
    stem: int = 1

    @property
    def towers(self) -> VQVAESpec:
        """The VQVAE whose encoder, a linear projection of patches, and decoder a small one has."""
        return VQVAESpec(
            scales=self.scales,
            codebook_size=self.codebook_size,
            latent_channels=self.encoded_channels,
            width=self.width,
            multipliers=self.multipliers,
            blocks_per_level=self.blocks_per_level,
            stem=self.stem,
            linear_skip=True,
            linear_encoder=True,
        )

    @property
    def stride(self) -> int:
        """Pixels per position of the finest token map."""
        return int(self.stem * 2 ** (len(self.multipliers) - 1))

    @property
    def side(self) -> int:
        """Side of the square picture in pixels."""
        return self.stride * self.scales[-1]


@dataclass(frozen=True, kw_only=True)
class FlexVARSpec(VARSpec):
    """The transformer: VAR's, but for its positions, which are pooled from a ``grid`` x ``grid``
    map to any side. So ``scales`` is not in its weights: any schedule that starts at 1 is right."""

    codebook_size: int = CODES
    grid: int = GRID

    @property
    def schedules(self) -> tuple[Scales, ...]:
        """Those of the authors: at the side of 256 pixels, and twice that."""
        return SCALES_256, SCALES_9, SCALES_13, SCALES_15

    @property
    def practised(self) -> Scales:
        return PRACTISED

    @classmethod
    def official(cls, depth: int) -> FlexVARSpec:
        """Width 64 x depth; depths 16, 20 and 24 are published."""
        return cls(depth=depth, width=HEAD_SIZE * depth)
