"""Numbers of the VAR authors' implementation against ours, in float32 on any device.

A fixture is a safetensors file made from the authors' code (commit 78b9539, CPU, fp32) with
weights that anybody can rebuild from their names; its format is described in
``tests/data/parity/README.md``.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor, nn

from engine.draw.guidance import guided
from engine.draw.keeping import Keeper, Replay
from engine.draw.loop import generate
from engine.draw.maps import paper_maps
from engine.model.family import Predictor
from engine.model.spec import VARSpec, VQVAESpec
from engine.model.var.predictor import CachedVAR
from engine.model.var.transformer import VAR
from engine.model.var.vqvae import VQVAE
from engine.plan.rules import Sampling

TOLERANCE = 1e-4
BUFFERS = ("ema_vocab_hit_SV", "zero_k_bias", "lvl_1L", "attn_bias_for_masking")
NORMS = ("norm.weight", "norm_out.weight")
EMBEDDINGS = ("emb", "pos", "ada_gss")


def reproducible_weights(module: nn.Module) -> None:
    """Fill a network from its state-dict names, by the fixtures' rules."""
    for name, tensor in module.state_dict().items():
        if name.split(".")[-1] in BUFFERS:
            continue
        bits = np.random.PCG64(zlib.crc32(name.encode()))
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
class Fixture:
    """The two networks with their weights, the settings, and the reference tensors."""

    vqvae: VQVAE
    var: VAR
    label: int
    guidance: float
    expected: dict[str, Tensor]

    @classmethod
    def read(cls, path: Path, device: torch.device | str = "cpu") -> Fixture:
        with safe_open(path, "pt") as file:
            config = json.loads(file.metadata()["config"])
            expected = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        scales = tuple(config["patch_nums"])
        shared = {
            "scales": scales,
            "codebook_size": config["vocab_size"],
            "latent_channels": config["z_channels"],
        }
        vqvae = VQVAE(VQVAESpec(width=config["ch"], phis=config["share_quant_resi"], **shared))
        var = VAR(
            VARSpec(
                depth=config["depth"],
                width=64 * config["depth"],
                num_classes=config["num_classes"],
                shared_adaln=config["shared_aln"],
                l2_norm=config["attn_l2_norm"],
                **shared,
            )
        )
        for net in (vqvae, var):
            reproducible_weights(net)
            net.to(device).eval().requires_grad_(False)
        expected = {name: tensor.to(device) for name, tensor in expected.items()}
        return cls(vqvae, var, config["label"], config["cfg"], expected)


@dataclass
class Everywhere:
    """A predictor that also notes the likeliest token at the positions which are not asked for."""

    inner: Predictor
    sampled: list[Tensor] = field(default_factory=list)

    def skip(self, k: int, inputs: Tensor) -> None:
        self._all(k, inputs)

    def logits(self, k: int, inputs: Tensor, rows: Tensor, branches: int = 1) -> Tensor:
        return self._all(k, inputs)[:, rows]

    def _all(self, k: int, inputs: Tensor) -> Tensor:
        every = torch.arange(inputs.shape[1], device=inputs.device)
        logits = self.inner.logits(k, inputs, every)
        self.sampled.append(logits.argmax(-1))
        return logits


def compare(fixture: Fixture, *, everywhere: bool = True) -> Iterator[tuple[str, float, float]]:
    """Yield (quantity, difference, tolerance); for token ids the number that differ, of 0.

    ``everywhere`` also compares what is sampled at kept positions, which editing never needs.
    Without it the loop runs as the editor runs it.
    """
    expected, vqvae, var = fixture.expected, fixture.vqvae, fixture.var
    scales, quantizer = vqvae.spec.scales, vqvae.quantize

    def close(name: str, ours: Tensor) -> tuple[str, float, float]:
        return name, float((ours - expected[name]).abs().max()), TOLERANCE

    def same(name: str, ours: Tensor, rows: Tensor | None = None) -> tuple[str, float, float]:
        wrong = ours != expected[name]
        return name, float((wrong if rows is None else wrong[:, rows]).sum()), 0

    features = vqvae.features(expected["image"])
    yield close("features", features)
    tokens, feature_map = vqvae.quantize.encode(features)
    for k, ids in enumerate(tokens):
        yield same(f"tokens.{k}", ids)
    yield close("f_hat", feature_map)
    yield close("reconstruction", vqvae.decode(feature_map))
    inputs, _ = vqvae.quantize.teacher_inputs(tokens)
    yield close("teacher_input", inputs)
    label = torch.tensor([fixture.label], device=inputs.device)
    yield close("teacher_logits", var(inputs, label))

    sampling = Sampling(guidance=fixture.guidance, top_k=1)
    ones = [torch.ones(side * side, dtype=torch.bool) for side in scales]
    runs: list[tuple[str, int | None, list[Tensor]]] = [("greedy", fixture.label, ones)]
    for task, asked in (("inpaint", None), ("outpaint", fixture.label)):
        runs.append((task, asked, paper_maps(expected[f"{task}_keep_mask"].cpu(), scales)))
    for task, asked, maps in runs:
        predictor = guided(partial(CachedVAR.of, var), asked, sampling, len(scales))
        watched = Everywhere(predictor)
        steps = list(
            generate(
                watched if everywhere else predictor,
                Keeper(quantizer) if task == "greedy" else Replay(quantizer, tokens),
                regenerate=maps,
                seeds=(0,),
                sampling=sampling,
            )
        )
        for step in steps:
            k = step.index
            if task == "greedy":
                yield same(f"greedy_tokens.{k}", step.ids)
            elif everywhere:
                yield same(f"{task}_sampled_tokens.{k}", watched.sampled[k])
            else:
                rows = maps[k].nonzero()[:, 0]
                yield same(f"{task}_sampled_tokens.{k}", step.ids, rows)
        picture = (vqvae.decode(steps[-1].feature_map) + 1) / 2
        yield close(f"{task}_image", picture)
