"""The published checkpoints that varpaint knows, a row each: where they are and what they take.

Importing this loads no network library: listing models has to be quick.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.model.spec import HEAD_SIZE, TokenizerSpec, TransformerSpec
from engine.weights.families import FLEXVAR, VAR, Family

_PICTURES = "Photos of the 1000 ImageNet classes at"


@dataclass(frozen=True)
class Tokenizer:
    """The published tokenizer of a family: one file for all its transformers."""

    repository: str
    stem: str
    parameters: int
    width: int  # channels at full resolution


@dataclass(frozen=True)
class Published:
    """A published transformer; the FID is the authors' own on ImageNet, lower is better.

    ``stem`` is the name of its file without the ending. Where ``auto``, it may be taken by itself
    when it is there.
    """

    family: Family
    tokenizer: Tokenizer
    stem: str
    depth: int
    side: int
    tokens: int
    parameters: int
    fid: float
    licence: str = "MIT"
    auto: bool = True
    more: str = ""

    @property
    def name(self) -> str:
        return f"{self.family.name}-d{self.depth}"

    @property
    def title(self) -> str:
        return f"{self.family.title} d{self.depth}, {self.side} px"

    @property
    def repository(self) -> str:
        return self.tokenizer.repository

    @property
    def stems(self) -> tuple[str, str]:
        """Of both files: the tokenizer's and the transformer's."""
        return self.tokenizer.stem, self.stem

    @property
    def about(self) -> str:
        size = f"{self.parameters / 1e9:.2g} billion parameters"
        return f"{_PICTURES} {self.side} px{self.more}, {size}, FID {self.fid}"

    @property
    def bytes(self) -> int:
        """What both files take, in float32."""
        return 4 * (self.parameters + self.tokenizer.parameters)

    @property
    def spec(self) -> TransformerSpec:
        made: Any = self.family.transformer
        spec: TransformerSpec = made.official(self.depth)
        return spec

    @property
    def tokenizer_spec(self) -> TokenizerSpec:
        spec: TokenizerSpec = self.family.tokenizer()
        return spec

    def memory(self, bytes_per_weight: int) -> int:
        """Bytes that an edit takes: weights of both networks, keys and values, the decoder.

        Keys and values are those of two guidance branches; the decoder holds about six maps of its
        width at full resolution at a time.
        """
        weights = (self.parameters + self.tokenizer.parameters) * bytes_per_weight
        width = HEAD_SIZE * self.depth
        cache = 2 * self.depth * self.tokens * width * 2 * bytes_per_weight
        decoder = 6 * self.tokenizer.width * self.side**2 * bytes_per_weight
        return weights + cache + decoder


VQVAE = Tokenizer("FoundationVision/var", "vae_ch160v4096z32", 108_948_355, 160)
FLEXVAE = Tokenizer("jiaosiyu1999/FlexVAR", "FlexVAE", 72_049_827, 128)


def _var(depth: int, side: int, tokens: int, parameters: int, fid: float) -> Published:
    return Published(VAR, VQVAE, f"var_d{depth}", depth, side, tokens, parameters, fid)


def _flexvar(depth: int, epoch: int, parameters: int, fid: float) -> Published:
    """MIT is the code's licence; of the weights none is stated beside it."""
    return Published(
        FLEXVAR, FLEXVAE, f"FlexVARd{depth}-epo{epoch}", depth, 256, 680, parameters, fid,
        licence="MIT (code; none stated for the weights)", auto=False, more=", or at 512 px",
    )  # fmt: skip


OFFICIAL = (
    _var(16, 256, 680, 310_283_520, 3.55),
    _var(20, 256, 680, 600_917_136, 2.95),
    _var(24, 256, 680, 1_033_399_360, 2.33),
    _var(30, 256, 680, 2_010_020_356, 1.97),
    _var(36, 512, 2240, 2_353_893_904, 2.63),
    _flexvar(16, 179, 315_561_936, 3.05),
    _flexvar(20, 249, 607_513_952, 2.41),
    _flexvar(24, 349, 1_041_314_576, 2.21),
)
BY_NAME = {model.name: model for model in OFFICIAL}
TOKENIZERS = tuple(dict.fromkeys(model.tokenizer for model in OFFICIAL))
