"""VAR's numbers (FoundationVision/VAR, commit 78b9539, CPU, fp32) against ours, on any device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from engine.benchmark.fixture import Everywhere, Fixture, Row, ready
from engine.draw.guidance import guided
from engine.draw.keeping import Keeper, Replay
from engine.draw.loop import generate
from engine.draw.maps import paper_maps
from engine.model.spec import HEAD_SIZE, VARSpec, VQVAESpec
from engine.model.var.predictor import CachedVAR
from engine.model.var.transformer import VAR
from engine.model.var.vqvae import VQVAE
from engine.plan.rules import Sampling


@dataclass(frozen=True)
class VARFixture(Fixture):
    """The two networks with their weights, the settings, and the reference tensors."""

    vqvae: VQVAE
    var: VAR

    @classmethod
    def of(
        cls, config: Mapping[str, Any], expected: Mapping[str, Tensor], device: torch.device
    ) -> VARFixture:
        vqvae, var = VQVAE(vqvae_spec(config)), VAR(var_spec(config))
        for net in (vqvae, var):
            ready(net, device)
        return cls(config, expected, vqvae, var)

    @property
    def label(self) -> int:
        return int(self.config["label"])

    @property
    def guidance(self) -> float:
        return float(self.config["cfg"])

    def compare(self, *, everywhere: bool) -> Iterator[Row]:
        expected, vqvae, var = self.expected, self.vqvae, self.var
        scales, quantizer = vqvae.spec.scales, vqvae.quantize

        yield from encoded(self, vqvae)
        tokens = vqvae.encode(self.picture)
        inputs, _ = quantizer.teacher_inputs(tokens)
        label = torch.tensor([self.label], device=inputs.device)
        yield self.close("teacher_logits", var(inputs, label))

        sampling = Sampling(guidance=self.guidance, top_k=1)
        ones = [torch.ones(side * side, dtype=torch.bool) for side in scales]
        runs: list[tuple[str, int | None, list[Tensor]]] = [("greedy", self.label, ones)]
        for task, asked in (("inpaint", None), ("outpaint", self.label)):
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
                    yield self.same(f"greedy_tokens.{k}", step.ids)
                elif everywhere:
                    yield self.same(f"{task}_sampled_tokens.{k}", watched.noted[k].argmax(-1))
                else:
                    rows = maps[k].nonzero()[:, 0]
                    yield self.same(f"{task}_sampled_tokens.{k}", step.ids, rows)
            picture = (vqvae.decode(steps[-1].feature_map) + 1) / 2
            yield self.close(f"{task}_image", picture)


def encoded(fixture: Fixture, vqvae: VQVAE) -> Iterator[Row]:
    """What VAR's tokenizer makes of a fixture's picture; other families have the same one."""
    features = vqvae.features(fixture.picture)
    yield fixture.close("features", features)
    tokens, feature_map = vqvae.quantize.encode(features)
    for k, ids in enumerate(tokens):
        yield fixture.same(f"tokens.{k}", ids)
    yield fixture.close("f_hat", feature_map)
    yield fixture.close("reconstruction", fixture.seen(vqvae.decode(feature_map)))
    yield fixture.close("teacher_input", vqvae.quantize.teacher_inputs(tokens)[0])


def vqvae_spec(config: Mapping[str, Any]) -> VQVAESpec:
    return VQVAESpec(width=config["ch"], phis=config["share_quant_resi"], **shared(config))


def var_spec(config: Mapping[str, Any], depth: int | None = None) -> VARSpec:
    """``depth`` where the settings have no one depth."""
    depth = depth or int(config["depth"])
    return VARSpec(
        depth=depth,
        width=HEAD_SIZE * depth,
        num_classes=config["num_classes"],
        shared_adaln=config["shared_aln"],
        l2_norm=config["attn_l2_norm"],
        **shared(config),
    )


def shared(config: Mapping[str, Any]) -> dict[str, Any]:
    """What the specs of both networks have in common."""
    return {
        "scales": tuple(config["patch_nums"]),
        "codebook_size": config["vocab_size"],
        "latent_channels": config["z_channels"],
    }
