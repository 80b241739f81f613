"""Shapes of the two networks: frozen, with named constructors and derived sizes.

A spec knows numbers only; it never sees a tensor, a file or a picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

Scales = tuple[int, ...]
"""The side of each scale, coarse to fine."""

SCALES_256 = (1, 2, 3, 4, 5, 6, 8, 10, 13, 16)
SCALES_512 = (1, 2, 3, 4, 6, 9, 13, 18, 24, 32)
SCALES_DOUBLING = (1, 2, 4, 8, 16)
HEAD_SIZE = 64


def scale_bounds(scales: Scales) -> tuple[tuple[int, int], ...]:
    """Token range ``[begin, end)`` of each scale in the flattened sequence."""
    ends = list(accumulate(side * side for side in scales))
    return tuple(zip([0, *ends[:-1]], ends, strict=True))


class Spec(Protocol):
    """What every network says of itself: a tokenizer and its transformer the same."""

    @property
    def scales(self) -> Scales: ...

    @property
    def codebook_size(self) -> int: ...

    @property
    def latent_channels(self) -> int: ...


class TokenizerSpec(Spec, Protocol):
    """What every family's tokenizer says of itself."""

    @property
    def side(self) -> int:
        """Side of the square picture in pixels."""


class TransformerSpec(Spec, Protocol):
    """What every family's transformer says of itself."""

    @property
    def num_classes(self) -> int: ...

    @property
    def foresight(self) -> bool:
        """Whether it was trained to read the known area's own features at every scale."""

    @property
    def schedules(self) -> tuple[Scales, ...]:
        """Of a model that is free in it, the schedules that suit it; none for others."""

    @property
    def practised(self) -> Scales:
        """Of such a model, the sides that it was trained to draw."""


@dataclass(frozen=True, kw_only=True)
class VQVAESpec:
    """The multi-scale VQVAE (Tian et al. 2024, section 3.2).

    ``stem`` > 1 puts a pixel-unshuffle in front of the encoder and a pixel-shuffle behind the
    decoder, which lets a small network work at 1/stem of the resolution. ``linear_skip`` adds a
    linear patch projection beside both towers, so that training can start at the principal
    components of the patches; ``linear_encoder`` leaves that projection as the whole encoder. The
    official checkpoints use none of these.
    """

    scales: Scales = SCALES_256
    codebook_size: int = 4096
    latent_channels: int = 32
    width: int = 160
    multipliers: tuple[int, ...] = (1, 1, 2, 2, 4)
    blocks_per_level: int = 2
    phis: int = 4
    stem: int = 1
    linear_skip: bool = False
    linear_encoder: bool = False

    @property
    def stride(self) -> int:
        """Pixels per position of the finest token map."""
        return int(self.stem * 2 ** (len(self.multipliers) - 1))

    @property
    def side(self) -> int:
        """Side of the square picture in pixels."""
        return self.stride * self.scales[-1]

    @classmethod
    def official(cls, scales: Scales = SCALES_256) -> VQVAESpec:
        """``vae_ch160v4096z32``; one file serves both picture sizes."""
        return cls(scales=scales)


@dataclass(frozen=True, kw_only=True)
class VARSpec:
    """The next-scale transformer (Tian et al. 2024, section 3.3).

    With ``foresight`` it was trained to read, where a picture is known, its own features at every
    scale, and has an embedding that marks these positions. The official checkpoints do not.
    """

    depth: int
    width: int
    scales: Scales = SCALES_256
    num_classes: int = 1000
    codebook_size: int = 4096
    latent_channels: int = 32
    mlp_ratio: int = 4
    shared_adaln: bool = False
    l2_norm: bool = True
    foresight: bool = False

    @property
    def heads(self) -> int:
        return self.width // HEAD_SIZE

    @property
    def schedules(self) -> tuple[Scales, ...]:
        """Bound to its own."""
        return ()

    @property
    def practised(self) -> Scales:
        """All there are."""
        return ()

    @property
    def num_tokens(self) -> int:
        return sum(side * side for side in self.scales)

    @property
    def bounds(self) -> tuple[tuple[int, int], ...]:
        return scale_bounds(self.scales)

    @property
    def no_label(self) -> int:
        """The class id that stands for "no label" (the unconditional branch)."""
        return self.num_classes

    @property
    def attention_scale(self) -> float:
        """Factor on q k^T; with l2-normalised q and k a learned one per head replaces it."""
        return 1.0 if self.l2_norm else 0.25 / math.sqrt(HEAD_SIZE)

    @classmethod
    def official(cls, depth: int) -> VARSpec:
        """Width 64 x depth; depth 36 is the 512 px model with one shared adaLN projection."""
        at_512 = depth == 36
        return cls(
            depth=depth,
            width=HEAD_SIZE * depth,
            scales=SCALES_512 if at_512 else SCALES_256,
            shared_adaln=at_512,
        )

    @classmethod
    def d16(cls) -> VARSpec:
        return cls.official(16)

    @classmethod
    def d20(cls) -> VARSpec:
        return cls.official(20)

    @classmethod
    def d24(cls) -> VARSpec:
        return cls.official(24)

    @classmethod
    def d30(cls) -> VARSpec:
        return cls.official(30)

    @classmethod
    def d36(cls) -> VARSpec:
        return cls.official(36)
