"""FlexVAR's numbers (jiaosiyu1999/FlexVAR, commit 04462cb, CPU, fp32) against ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from engine.benchmark.fixture import Everywhere, Fixture, Row, ready
from engine.draw.guidance import guided
from engine.draw.keeping import Keeper, tokens
from engine.draw.loop import generate
from engine.draw.sampling import likely
from engine.model.flexvar.autoencoder import FlexVAE
from engine.model.flexvar.pair import FlexVARPair
from engine.model.flexvar.spec import PRACTISED, FlexVAESpec, FlexVARSpec
from engine.model.flexvar.transformer import FlexVAR
from engine.model.spec import HEAD_SIZE, Scales
from engine.model.var.predictor import CachedVAR
from engine.plan.rules import Sampling, sampling_over


@dataclass(frozen=True)
class FlexVARFixture(Fixture):
    """The model at its usual scales; each run has scales of its own."""

    model: FlexVARPair

    @classmethod
    def of(
        cls, config: Mapping[str, Any], expected: Mapping[str, Tensor], device: torch.device
    ) -> FlexVARFixture:
        shared = {
            "codebook_size": config["vocab_size"], "latent_channels": config["code_channels"]
        }  # fmt: skip
        vae = FlexVAE(
            FlexVAESpec(width=config["ch"], encoded_channels=config["z_channels"], **shared)
        )
        depth = config["depth"]
        var = FlexVAR(
            FlexVARSpec(
                depth=depth, width=HEAD_SIZE * depth, num_classes=config["num_classes"],
                shared_adaln=config["shared_aln"], l2_norm=config["attn_l2_norm"], **shared,
            )
        )  # fmt: skip
        for network in (vae, var):
            ready(network, device)
        return cls(config, expected, FlexVARPair(vae, var))

    def compare(self, *, everywhere: bool) -> Iterator[Row]:
        config, schedule = self.config, tuple(self.config["teacher_schedule"])
        model = self.model.at(schedule)
        vae, scheme = model.vae, model.scheme
        features = vae.features(self.picture)
        yield self.close("features", features)
        maps, state = tokens(scheme, features)
        for k, ids in enumerate(maps):
            yield self.same(f"tokens.{k}", ids)
        yield self.close("reconstruction", self.seen(vae.picture(state)))
        inputs, vectors = [], None
        for k, ids in enumerate(maps):
            if vectors is not None:
                inputs.append(scheme.inputs(k, vectors))
            vectors = scheme.advance(k, state, scheme.codebook[ids])
            if k == len(schedule) // 2:
                yield self.close(f"reconstruction.{k}", self.seen(vae.picture(vectors)))
        teacher = torch.cat(inputs, dim=1)
        yield self.close("teacher_input", teacher)
        label = torch.tensor([config["label"]], device=teacher.device)
        yield self.close("teacher_logits", model.var(teacher, label))
        for side in config["position_sides"]:
            yield self.close(f"position.{side}", model.var.at((side,)).place(0, 0))
        for name, run in config["runs"].items():
            yield from self._run(name, run)

    def _run(self, name: str, run: Mapping[str, Any]) -> Iterator[Row]:
        """A generated picture: the likeliest id everywhere."""
        assert run["max_side"] == max(PRACTISED)
        schedule: Scales = tuple(run["schedule"])
        model, constant = self.model.at(schedule), run["guidance"] == "constant"
        sampling = sampling_over(
            Sampling(
                guidance=run["cfg"] - 1 if constant else run["cfg"],  # u + cfg (c - u)
                schedule=run["guidance"],
                top_k=run["top_k"],
                top_p=run["top_p"],
            ),
            schedule,
            PRACTISED,
        )
        source = partial(CachedVAR.of, model.var)
        watched = Everywhere(guided(source, self.config["label"], sampling, len(schedule)))
        every = [torch.ones(side * side, dtype=torch.bool) for side in schedule]
        greedy = Sampling(top_k=1)
        steps = generate(
            watched, Keeper(model.scheme), regenerate=every, seeds=(0,), sampling=greedy
        )
        left = []
        for step in steps:
            k, logits = step.index, watched.noted[step.index]
            yield self.same(f"{name}_tokens.{k}", step.ids)
            if (stored := self.expected.get(f"{name}_logits.{k}")) is not None:
                yield self.close(f"{name}_logits.{k}", logits[:, : stored.shape[1]])
            probabilities, _ = likely(logits, sampling.at(k, len(schedule)))
            left.append((probabilities > 0).sum(-1))
        yield self.same(f"{name}_candidates", torch.cat(left, dim=1))
        yield self.close(f"{name}_image", self.seen(model.vae.picture(step.feature_map)))
