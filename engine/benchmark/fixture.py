"""Fixtures of the authors' numbers: weights that anybody can rebuild from their names, the settings
and the reference tensors. Their format is described in ``tests/data/parity/README.md``.
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from engine.draw.guidance import guided
from engine.draw.keeping import Keeper
from engine.draw.loop import Noise, ScaleStep, generate
from engine.draw.sampling import noise as keyed_noise
from engine.model.family import Model, Predictor, Scheme
from engine.plan.rules import Sampling

TOLERANCE = 1e-4
BUFFERS = (
    "ema_vocab_hit_SV", "zero_k_bias", "lvl_1L", "attn_bias_for_masking", "codebook_used", "mask",
)  # fmt: skip
NORMS = ("norm.weight", "norm_out.weight")
EMBEDDINGS = ("emb", "pos", "ada_gss")

Row = tuple[str, float, float]
"""A quantity, how far off ours is, and how far it may be; of ids the number that differ, of 0."""


def reproducible_weights(module: nn.Module, prefix: str = "") -> None:
    """Fill a network from its state-dict names, by the fixtures' rules.

    ``prefix`` goes before the names that are hashed, where two networks have the same ones.
    """
    for name, tensor in module.state_dict().items():
        if name.split(".")[-1] in BUFFERS:
            continue
        bits = np.random.PCG64(zlib.crc32(f"{prefix}{name}".encode()))
        x = np.random.Generator(bits).standard_normal(tuple(tensor.shape))
        if name.endswith("scale_mul_1H11"):
            x = np.log(4) + 0.1 * x
        elif name.endswith(NORMS) or ".norm1.weight" in name or ".norm2.weight" in name:
            x = 1 + 0.1 * x
        elif x.ndim == 1:
            x = 0.05 * x
        elif any(part in name for part in EMBEDDINGS):
            x = 0.5 * x
        else:
            x = x / np.sqrt(np.prod(x.shape[1:]))
        with torch.no_grad():
            tensor.copy_(torch.from_numpy(x.astype(np.float32)))


@dataclass(frozen=True)
class Fixture(ABC):
    """One family's networks with the fixture's weights, and what they should give."""

    config: Mapping[str, Any]
    expected: Mapping[str, Tensor]

    @classmethod
    @abstractmethod
    def of(
        cls, config: Mapping[str, Any], expected: Mapping[str, Tensor], device: torch.device
    ) -> Fixture:
        """Build the networks of a ``config`` on a device, where ``expected`` are already."""

    @abstractmethod
    def compare(self, *, everywhere: bool) -> Iterator[Row]:
        """Compare one quantity after the other.

        ``everywhere`` also compares what is sampled at kept positions, which editing never needs.
        Without it the loop runs as the editor runs it.
        """

    @property
    def picture(self) -> Tensor:
        """(1, 3, H, W) in [-1, 1]."""
        image = self.expected["image"]
        return image / 127.5 - 1 if image.dtype == torch.uint8 else image

    def seen(self, picture: Tensor) -> Tensor:
        """Those of a picture's pixels that the fixture keeps."""
        stride = self.config.get("image_stride", 1)
        return picture[..., ::stride, ::stride]

    def close(self, name: str, ours: Tensor) -> Row:
        """A row of floats."""
        return name, float((ours - self.expected[name]).abs().max()), TOLERANCE

    def same(self, name: str, ours: Tensor, rows: Tensor | None = None) -> Row:
        """A row of ids, at some positions or all."""
        wrong = ours != self.expected[name]
        return name, float((wrong if rows is None else wrong[:, rows]).sum()), 0


def ready(network: nn.Module, device: torch.device, prefix: str = "") -> None:
    """Give a network the fixture's weights."""
    reproducible_weights(network, prefix)
    network.to(device).eval().requires_grad_(False)


@dataclass
class Noting:
    """A predictor that also notes each call: the scale, what was read, what it answered."""

    inner: Predictor
    calls: list[tuple[int, Tensor, Tensor]] = field(default_factory=list)

    def skip(self, k: int, inputs: Tensor) -> None:
        self.inner.skip(k, inputs)

    def logits(self, k: int, inputs: Tensor, rows: Tensor, branches: int = 1) -> Tensor:
        logits = self.inner.logits(k, inputs, rows, branches)
        self.calls.append((k, inputs, logits))
        return logits


def generated(
    model: Model, scheme: Scheme, label: int, sampling: Sampling, noise: Noise = keyed_noise
) -> tuple[Noting, list[ScaleStep]]:
    """A picture of which nothing is kept, and what the model was asked on the way."""
    noting = Noting(
        guided(
            lambda labels, branches: model.predictor(model.condition(labels), branches),
            label, sampling, len(scheme.scales),
        )
    )  # fmt: skip
    every = [torch.ones(side * side, dtype=torch.bool) for side in scheme.scales]
    steps = generate(
        noting, Keeper(scheme), regenerate=every, seeds=(0,), sampling=sampling, noise=noise
    )
    return noting, list(steps)


@dataclass
class Everywhere:
    """A predictor that also notes what it is not asked for: logits of all positions, scale by
    scale."""

    inner: Predictor
    noted: list[Tensor] = field(default_factory=list)

    def skip(self, k: int, inputs: Tensor) -> None:
        self._all(k, inputs)

    def logits(self, k: int, inputs: Tensor, rows: Tensor, branches: int = 1) -> Tensor:
        return self._all(k, inputs)[:, rows]

    def _all(self, k: int, inputs: Tensor) -> Tensor:
        every = torch.arange(inputs.shape[1], device=inputs.device)
        self.noted.append(self.inner.logits(k, inputs, every))
        return self.noted[-1]
