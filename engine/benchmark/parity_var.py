"""Numbers of the VAR authors' implementation (commit 78b9539) against ours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from engine.benchmark.fixtures import Noting, Row, Stored
from engine.draw.guidance import guided
from engine.draw.keeping import Keeper, Replay
from engine.draw.loop import generate
from engine.draw.maps import paper_maps
from engine.model.spec import VARSpec
from engine.model.var.predictor import CachedVAR
from engine.model.var.transformer import VAR
from engine.model.var.vqvae import VQVAE
from engine.plan.rules import Sampling


@dataclass(frozen=True)
class Fixture:
    """The two networks with their weights, the settings, and the reference tensors."""

    vqvae: VQVAE
    var: VAR
    stored: Stored

    @classmethod
    def read(cls, path: Path, device: torch.device | str = "cpu") -> Fixture:
        return cls.of(Stored.read(path, device))

    @classmethod
    def of(cls, stored: Stored) -> Fixture:
        return cls(stored.vqvae(), transformer(stored, stored.config["depth"]), stored)


def transformer(stored: Stored, depth: int, prefix: str = "") -> VAR:
    """A transformer with the fixture's weights; ``prefix`` goes before their names."""
    config = stored.config
    spec = VARSpec(
        depth=depth,
        width=64 * depth,
        num_classes=config["num_classes"],
        shared_adaln=config["shared_aln"],
        l2_norm=config["attn_l2_norm"],
        **stored.shapes(),
    )
    net = VAR(spec)
    stored.ready(net, prefix)
    return net


def compare(stored: Stored, *, everywhere: bool = True) -> Iterator[Row]:
    """A row for each quantity of a fixture.

    ``everywhere`` also compares what is sampled at kept positions, which editing never needs.
    Without it the loop runs as the editor runs it.
    """
    fixture = Fixture.of(stored)
    vqvae, var, config = fixture.vqvae, fixture.var, stored.config
    scales, quantizer = vqvae.spec.scales, vqvae.quantize
    yield from stored.tokenizer(vqvae)
    tokens, _ = quantizer.encode(vqvae.features(stored.picture))
    label = torch.tensor([config["label"]], device=stored.device)
    yield stored.close("teacher_logits", var(quantizer.teacher_inputs(tokens)[0], label))

    sampling = Sampling(guidance=config["cfg"], top_k=1)
    ones = [torch.ones(side * side, dtype=torch.bool) for side in scales]
    runs: list[tuple[str, int | None, list[Tensor]]] = [("greedy", config["label"], ones)]
    for task, asked in (("inpaint", None), ("outpaint", config["label"])):
        runs.append((task, asked, paper_maps(stored.tensors[f"{task}_keep_mask"].cpu(), scales)))
    for task, asked, maps in runs:
        noting = Noting(
            guided(partial(CachedVAR.of, var), asked, sampling, len(scales)), everywhere
        )
        steps = list(
            generate(
                noting,
                Keeper(quantizer) if task == "greedy" else Replay(quantizer, tokens),
                regenerate=maps,
                seeds=(0,),
                sampling=sampling,
            )
        )
        for step in steps:
            k = step.index
            if task == "greedy":
                yield stored.same(f"greedy_tokens.{k}", step.ids)
            elif everywhere:
                yield stored.same(f"{task}_sampled_tokens.{k}", noting.calls[k][2].argmax(-1))
            else:
                rows = maps[k].nonzero()[:, 0]
                yield stored.same(f"{task}_sampled_tokens.{k}", step.ids, rows)
        yield stored.close(f"{task}_image", (vqvae.decode(steps[-1].feature_map) + 1) / 2)
