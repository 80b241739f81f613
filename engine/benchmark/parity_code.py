"""Numbers of CoDe's authors' implementation (czg1225/CoDe, commit bfb204d) against ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from engine.benchmark.fixture import Fixture, Row, generated, ready
from engine.benchmark.parity_var import encoded, var_spec, vqvae_spec
from engine.draw.sampling import likely
from engine.model.family import Scheme
from engine.model.relay import Relayed
from engine.model.var.pair import VARPair
from engine.model.var.quantizer import Quantizer
from engine.model.var.transformer import VAR
from engine.model.var.vqvae import VQVAE
from engine.plan.rules import Sampling


@dataclass(frozen=True)
class CoDeFixture(Fixture):
    """The three networks with their weights, the settings, and the reference tensors."""

    vqvae: VQVAE
    drafter: VAR
    refiner: VAR

    @classmethod
    def of(
        cls, config: Mapping[str, Any], expected: Mapping[str, Tensor], device: torch.device
    ) -> CoDeFixture:
        vqvae = VQVAE(vqvae_spec(config))
        drafter, refiner = (
            VAR(var_spec(config, config[name])) for name in ("depth_draft", "depth_refine")
        )
        for net, prefix in ((vqvae, ""), (drafter, "drafter."), (refiner, "refiner.")):
            ready(net, device, prefix)
        return cls(config, expected, vqvae, drafter, refiner)

    def compare(self, *, everywhere: bool) -> Iterator[Row]:
        """Its edits draw everywhere: ``everywhere`` is all the same."""
        config, vqvae = self.config, self.vqvae
        drafter, refiner, switch = self.drafter, self.refiner, config["draft_steps"]
        quantizer = vqvae.quantize
        model = Relayed(VARPair(vqvae, drafter), VARPair(vqvae, refiner), switch)

        yield from encoded(self, vqvae)
        tokens = vqvae.encode(self.picture)
        inputs, _ = quantizer.teacher_inputs(tokens)
        label = torch.tensor([config["label"]], device=self.picture.device)
        yield self.close("drafter_logits", drafter(inputs, label))
        yield self.close("refiner_logits", refiner(inputs, label))
        yield self.close("sampler_probabilities", self._drawn_from())

        sampling = Sampling(guidance=config["cfg"], top_k=config["top_k"])
        hole = self.expected["hole"][..., ::vqvae.spec.stride, ::vqvae.spec.stride]
        schemes = {"greedy": quantizer, "inpaint": Pasted.over(quantizer, tokens, hole)}
        for task, scheme in schemes.items():
            noting, steps = generated(model, cast(Scheme, scheme), config["label"], sampling)
            read = torch.cat([given for _, given, _ in noting.calls[1 : switch + 1]], dim=1)
            for step in steps:
                yield self.same(f"{task}_tokens.{step.index}", step.ids)
            if task == "greedy":
                yield self.close("draft_f_hat", steps[switch - 1].feature_map)
                yield self.close("draft_input", read)
                yield self.close("greedy_switch_logits", noting.calls[switch][2])
            else:
                yield self.close("inpaint_draft_input", read)
            picture = (vqvae.decode(steps[-1].feature_map) + 1) / 2
            yield self.close(f"{task}_image", self.seen(picture))

    def _drawn_from(self) -> Tensor:
        """What the authors' sampler draws from, (1, n, V): filtered first, then flattened.

        Ours flattens before it filters; at temperature 1, where CoDe's fine scales are, it is the
        same.
        """
        said, logits = self.config["sampler"], self.expected["sampler_logits"]
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
