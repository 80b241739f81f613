"""The published checkpoints that varpaint knows, a row each: where they are and what they take.

Importing this loads no network library: listing models has to be quick.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.model.spec import HEAD_SIZE, TokenizerSpec, TransformerSpec
from engine.weights.families import FLEXVAR, HMAR, VAR, Family

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

    ``stem`` is the name of its file without the ending, ``home`` its repository where that is not
    the tokenizer's. Where ``auto``, it may be taken by itself when it is there; where not
    ``commercial``, its title says so. ``suits`` is a plain sentence for somebody who chooses.
    ``recommended`` is the authors' own sampling.
    """

    family: Family
    tokenizer: Tokenizer
    stem: str
    depth: int
    side: int
    tokens: int
    parameters: int
    fid: float | None
    licence: str = "MIT"
    commercial: bool = True
    suits: str = ""
    auto: bool = True
    more: str = ""
    home: str = ""
    recommended: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.family.name}-d{self.depth}"

    @property
    def title(self) -> str:
        limited = "" if self.commercial else ", non-commercial"
        return f"{self.family.title} d{self.depth}, {self.side} px{limited}"

    @property
    def repository(self) -> str:
        return self.home or self.tokenizer.repository

    @property
    def files(self) -> tuple[tuple[str, str], ...]:
        """Repository and stem of each: the tokenizer's and the transformer's."""
        own = self.tokenizer
        return (own.repository, own.stem), (self.repository, self.stem)

    @property
    def stems(self) -> tuple[str, ...]:
        """Those of the files."""
        return tuple(stem for _, stem in self.files)

    @property
    def about(self) -> str:
        size = f"{self.parameters / 1e9:.2g} billion parameters"
        quality = "" if self.fid is None else f", FID {self.fid}"
        limited = "" if self.commercial else "; for research only, not for commercial use"
        return f"{_PICTURES} {self.side} px{self.more}, {size}{quality}{limited}"

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


@dataclass(frozen=True)
class Drafted(Published):
    """A pair that was trained for each other: what it says of itself, but for its name, is of the
    first of them, which draws the scales before ``switch``. The ``second`` draws the others."""

    switch: int = 0
    second: Published | None = None

    @property
    def name(self) -> str:
        return f"code-{self.switch}"

    @property
    def title(self) -> str:
        assert self.second is not None
        return f"CoDe {self.switch}, d{self.depth} + d{self.second.depth}, 256 px"

    @property
    def files(self) -> tuple[tuple[str, str], ...]:
        assert self.second is not None
        return *super().files, self.second.files[-1]

    @property
    def bytes(self) -> int:
        assert self.second is not None
        return super().bytes + 4 * self.second.parameters

    def memory(self, bytes_per_weight: int) -> int:
        assert self.second is not None
        both = super().memory(bytes_per_weight) + self.second.memory(bytes_per_weight)
        shared = self.tokenizer.parameters + 6 * self.tokenizer.width * self.side**2
        return both - shared * bytes_per_weight


VQVAE = Tokenizer("FoundationVision/var", "vae_ch160v4096z32", 108_948_355, 160)
FLEXVAE = Tokenizer("jiaosiyu1999/FlexVAR", "FlexVAE", 72_049_827, 128)


def _var(
    depth: int, side: int, tokens: int, parameters: int, fid: float, suits: str
) -> Published:
    return Published(
        VAR, VQVAE, f"var_d{depth}", depth, side, tokens, parameters, fid, suits=suits
    )


def _flexvar(depth: int, epoch: int, parameters: int, fid: float) -> Published:
    """MIT is the code's licence; of the weights none is stated beside it."""
    return Published(
        FLEXVAR, FLEXVAE, f"FlexVARd{depth}-epo{epoch}", depth, 256, 680, parameters, fid,
        licence="MIT (code; none stated for the weights)", auto=False, more=", or at 512 px",
        suits="Draws at two sizes.",
        recommended={
            "guidance": 2.5, "guidance_schedule": "ramp", "top_k": 900, "top_p": 0.95
        },
    )  # fmt: skip


def _hmar(
    depth: int, parameters: int, guidance: float, top_k: int
) -> Published:
    """The code's licence and the model card's are for research only."""
    return Published(
        HMAR, VQVAE, f"hmar-d{depth}", depth, 256, 680, parameters, None,
        licence="NVIDIA, for research only, non-commercial", commercial=False, auto=False,
        suits="For research.",
        home="nvidia/HMAR", recommended={"guidance": guidance, "top_k": top_k, "top_p": 0.99},
    )  # fmt: skip


def _code(switch: int, fid: float, share: float) -> Drafted:
    """Shapes are those of VAR's d30 and d16: nothing in a file but its name says what it is.

    ``share`` is that of d30's operations (`engine.benchmark.meter.run_flop`, heads included).
    """
    home = "Zigeng/VAR_CoDe"
    small = Published(
        VAR, VQVAE, f"refiner_{switch}", 16, 256, 680, 310_283_520, None, home=home
    )
    return Drafted(
        VAR, VQVAE, f"drafter_{switch}", 30, 256, 680, 2_010_020_356, fid, auto=False,
        suits="Large one and small one in turn: nearly as good as d30, sooner.",
        more=f" in {share:.0%} of d30's operations", home=home, switch=switch, second=small,
    )  # fmt: skip


OFFICIAL = (
    _var(16, 256, 680, 310_283_520, 3.55, "The smallest of the official ones, and the quickest."),
    _var(20, 256, 680, 600_917_136, 2.95, "Draws a little better than d16."),
    _var(24, 256, 680, 1_033_399_360, 2.33, "Draws well; wants a GPU."),
    _var(30, 256, 680, 2_010_020_356, 1.97, "Draws best at its size; wants a GPU."),
    _var(36, 512, 2240, 2_353_893_904, 2.63, "Draws the finest detail; wants a large GPU."),
    _flexvar(16, 179, 315_561_936, 3.05),
    _flexvar(20, 249, 607_513_952, 2.41),
    _flexvar(24, 349, 1_041_314_576, 2.21),
    _hmar(16, 467_691_904, 1.7, 1000),
    _hmar(20, 845_517_872, 1.9, 950),
    _hmar(24, 1_384_328_960, 2.1, 900),
    _hmar(30, 2_556_324_212, 1.7, 1000),
    _code(6, 2.27, 0.29),
    _code(7, 2.11, 0.38),
    _code(8, 1.98, 0.52),
    _code(9, 1.94, 0.77),
)
BY_STEM = {
    each.stem: each
    for model in OFFICIAL
    for each in ((model, model.second) if isinstance(model, Drafted) and model.second else (model,))
}
BY_NAME = {model.name: model for model in OFFICIAL}
TOKENIZERS = tuple(dict.fromkeys(model.tokenizer for model in OFFICIAL))
