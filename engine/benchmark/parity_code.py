"""Numbers of CoDe's authors' implementation (czg1225/CoDe, commit bfb204d) against ours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from engine.benchmark.fixtures import Noting, Row, Stored
from engine.benchmark.parity_var import transformer
from engine.draw.guidance import guided
from engine.draw.keeping import Keeper
from engine.draw.loop import generate
from engine.draw.sampling import likely
from engine.model.family import Scheme
from engine.model.relay import Relayed
from engine.model.var.pair import VARPair
from engine.model.var.quantizer import Quantizer
from engine.plan.rules import Sampling


def compare(stored: Stored, *, everywhere: bool = True) -> Iterator[Row]:
    """A row for each quantity of a fixture. Its edits draw everywhere: ``everywhere`` is all the
    same."""
    config, vqvae = stored.config, stored.vqvae()
    scales, quantizer, switch = vqvae.spec.scales, vqvae.quantize, config["draft_steps"]
    drafter = transformer(stored, config["depth_draft"], "drafter.")
    refiner = transformer(stored, config["depth_refine"], "refiner.")
    model = Relayed(VARPair(vqvae, drafter), VARPair(vqvae, refiner), switch)

    yield from stored.tokenizer(vqvae)
    tokens, _ = quantizer.encode(vqvae.features(stored.picture))
    inputs, _ = quantizer.teacher_inputs(tokens)
    label = torch.tensor([config["label"]], device=stored.device)
    yield stored.close("drafter_logits", drafter(inputs, label))
    yield stored.close("refiner_logits", refiner(inputs, label))
    yield stored.close("sampler_probabilities", _drawn_from(stored))

    sampling = Sampling(guidance=config["cfg"], top_k=config["top_k"])
    hole = stored.tensors["hole"][..., ::vqvae.spec.stride, ::vqvae.spec.stride]
    schemes = {"greedy": quantizer, "inpaint": Pasted.over(quantizer, tokens, hole)}
    for task, scheme in schemes.items():
        noting = Noting(
            guided(
                lambda labels, branches: model.predictor(model.condition(labels), branches),
                config["label"], sampling, len(scales),
            )
        )  # fmt: skip
        steps = list(
            generate(
                noting,
                Keeper(cast(Scheme, scheme)),
                regenerate=[torch.ones(side * side, dtype=torch.bool) for side in scales],
                seeds=(0,),
                sampling=sampling,
            )
        )
        read = torch.cat([given for _, given, _ in noting.calls[1 : switch + 1]], dim=1)
        for step in steps:
            yield stored.same(f"{task}_tokens.{step.index}", step.ids)
        if task == "greedy":
            yield stored.close("draft_f_hat", steps[switch - 1].feature_map)
            yield stored.close("draft_input", read)
            yield stored.close("greedy_switch_logits", noting.calls[switch][2])
        else:
            yield stored.close("inpaint_draft_input", read)
        yield stored.close(f"{task}_image", (vqvae.decode(steps[-1].feature_map) + 1) / 2)


def _drawn_from(stored: Stored) -> Tensor:
    """What the authors' sampler draws from, (1, n, V): filtered first, then sharpened or flattened.

    Ours sharpens before it filters; at temperature 1, where CoDe's fine scales are, it is the same.
    """
    said, logits = stored.config["sampler"], stored.tensors["sampler_logits"]
    chances, ids = likely(logits, Sampling(top_k=said["top_k"], top_p=said["top_p"]))
    drawn = torch.zeros_like(logits).scatter(-1, ids, chances)
    tempered: Tensor = drawn ** (1 / said["temperature"])
    return tempered / tempered.sum(-1, keepdim=True)


@dataclass(frozen=True)
class Pasted:
    """The scheme of the authors' inpainting: outside the ``hole`` (1, 1, S, S), 1 = regenerate, the
    feature map becomes after each scale what the picture's own ids make of it."""

    quantizer: Quantizer
    hole: Tensor
    known: list[Tensor]  # the feature map after each scale, (1, z, S, S)

    @classmethod
    def over(cls, quantizer: Quantizer, tokens: list[Tensor], hole: Tensor) -> Pasted:
        known, state = [], quantizer.zeros(1)
        for k, ids in enumerate(tokens):
            state = quantizer.advance(k, state, quantizer.codebook[ids])
            known.append(state)
        return cls(quantizer, hole.to(state.dtype), known)

    def advance(self, k: int, feature_map: Tensor, vectors: Tensor) -> Tensor:
        drawn = self.quantizer.advance(k, feature_map, vectors)
        mixed: Tensor = torch.lerp(self.known[k], drawn, self.hole)
        return mixed

    def __getattr__(self, name: str) -> Any:
        return getattr(self.quantizer, name)
