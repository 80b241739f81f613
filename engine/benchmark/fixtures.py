"""Files of numbers that other implementations gave, and what they are compared by.

A fixture is a safetensors file made from the authors' code (CPU, float32) with weights that
anybody can rebuild from their names; its format is described in ``tests/data/parity/README.md``.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor, nn

from engine.model.family import Predictor
from engine.model.spec import VQVAESpec
from engine.model.var.vqvae import VQVAE

TOLERANCE = 1e-4
BUFFERS = ("ema_vocab_hit_SV", "zero_k_bias", "lvl_1L", "attn_bias_for_masking")
NORMS = ("norm.weight", "norm_out.weight")
EMBEDDINGS = ("emb", "pos", "ada_gss")

Row = tuple[str, float, float]
"""A quantity, how far ours is from the authors', and how far it may be; of token ids how many
differ, of 0."""


def reproducible_weights(module: nn.Module, prefix: str = "") -> None:
    """Fill a network from its state-dict names, by the fixtures' rules.

    ``prefix`` goes before the names where two networks would else have the same weights.
    """
    for name, tensor in module.state_dict().items():
        if name.split(".")[-1] in BUFFERS:
            continue
        bits = np.random.PCG64(zlib.crc32((prefix + name).encode()))
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
class Stored:
    """A fixture's settings and tensors."""

    config: dict[str, Any]
    tensors: dict[str, Tensor]

    @classmethod
    def read(cls, path: Path, device: torch.device | str = "cpu") -> Stored:
        with safe_open(path, "pt") as file:
            config = json.loads(file.metadata()["config"])
            tensors = {key: file.get_tensor(key).to(device) for key in file.keys()}  # noqa: SIM118
        return cls(config, tensors)

    @property
    def family(self) -> str:
        return str(self.config.get("family", "var"))

    @property
    def device(self) -> torch.device:
        return self.tensors["image"].device

    @property
    def picture(self) -> Tensor:
        """(1, 3, S, S) in [-1, 1]."""
        image = self.tensors["image"]
        return image / 127.5 - 1 if image.dtype == torch.uint8 else image

    def shapes(self) -> dict[str, Any]:
        """What the specs of both networks have in common."""
        config = self.config
        return {
            "scales": tuple(config["patch_nums"]),
            "codebook_size": config["vocab_size"],
            "latent_channels": config["z_channels"],
        }

    def vqvae(self) -> VQVAE:
        """VAR's VQVAE with the fixture's weights."""
        config = self.config
        net = VQVAE(
            VQVAESpec(width=config["ch"], phis=config["share_quant_resi"], **self.shapes())
        )
        self.ready(net)
        return net

    def ready(self, net: nn.Module, prefix: str = "") -> None:
        """Give a network the fixture's weights, to be run where the tensors are."""
        reproducible_weights(net, prefix)
        net.to(self.device).eval().requires_grad_(False)

    def close(self, name: str, ours: Tensor) -> Row:
        """Floats, as many as the authors kept: the greatest difference."""
        theirs = self.tensors[name]
        if theirs.ndim == 4 and theirs.shape != ours.shape:
            stride = self.config["image_stride"]
            ours = ours[..., ::stride, ::stride]
        if ours.shape != theirs.shape:
            return name, float("inf"), TOLERANCE
        return name, float((ours - theirs).abs().max()), TOLERANCE

    def same(self, name: str, ours: Tensor, rows: Tensor | None = None) -> Row:
        """Ids, at some positions or all: how many differ."""
        wrong = ours != self.tensors[name]
        return name, float((wrong if rows is None else wrong[:, rows]).sum()), 0

    def tokenizer(self, vqvae: VQVAE) -> Iterator[Row]:
        """What VAR's VQVAE makes of the picture."""
        features = vqvae.features(self.picture)
        yield self.close("features", features)
        tokens, feature_map = vqvae.quantize.encode(features)
        for k, ids in enumerate(tokens):
            yield self.same(f"tokens.{k}", ids)
        yield self.close("f_hat", feature_map)
        yield self.close("reconstruction", vqvae.decode(feature_map))
        yield self.close("teacher_input", vqvae.quantize.teacher_inputs(tokens)[0])


@dataclass
class Noting:
    """A predictor that also notes what it was given and what it answered, and can be had to answer
    at all positions.

    With ``everywhere`` scales that are kept are asked for too, and the others at all positions.
    """

    inner: Predictor
    everywhere: bool = False
    calls: list[tuple[int, Tensor, Tensor]] = field(default_factory=list)  # k, inputs, logits

    def skip(self, k: int, inputs: Tensor) -> None:
        if self.everywhere:
            self._all(k, inputs)
        else:
            self.inner.skip(k, inputs)

    def logits(self, k: int, inputs: Tensor, rows: Tensor, branches: int = 1) -> Tensor:
        assert branches == 1, "to be put around guidance"
        if self.everywhere:
            return self._all(k, inputs)[:, rows]
        logits = self.inner.logits(k, inputs, rows)
        self.calls.append((k, inputs, logits))
        return logits

    def _all(self, k: int, inputs: Tensor) -> Tensor:
        every = torch.arange(inputs.shape[1], device=inputs.device)
        logits = self.inner.logits(k, inputs, every)
        self.calls.append((k, inputs, logits))
        return logits
