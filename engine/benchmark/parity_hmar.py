"""Numbers of HMAR's authors' implementation (NVlabs/HMAR, commit 595a9df) against ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from engine.benchmark.fixture import Fixture, Row, generated, ready
from engine.benchmark.parity_var import encoded, shared, vqvae_spec
from engine.draw.sampling import likeliest
from engine.model.hmar.pair import HMARPair
from engine.model.hmar.scheme import Rounds
from engine.model.hmar.spec import HMARSpec
from engine.model.hmar.transformer import HMAR
from engine.model.spec import HEAD_SIZE
from engine.model.var.vqvae import VQVAE
from engine.plan.rules import Sampling


@dataclass(frozen=True)
class HMARFixture(Fixture):
    """The two networks with their weights, the settings, and the reference tensors."""

    vqvae: VQVAE
    hmar: HMAR

    @classmethod
    def of(
        cls, config: Mapping[str, Any], expected: Mapping[str, Tensor], device: torch.device
    ) -> HMARFixture:
        depth = config["depth"]
        spec = HMARSpec(
            depth=depth, width=HEAD_SIZE * depth, num_classes=config["num_classes"],
            refined=config["refined_blocks"], **shared(config),
        )  # fmt: skip
        vqvae, hmar = VQVAE(vqvae_spec(config)), HMAR(spec)
        for net in (vqvae, hmar):
            ready(net, device)
        return cls(config, expected, vqvae, hmar)

    def compare(self, *, everywhere: bool) -> Iterator[Row]:
        """Nothing is kept in these numbers: ``everywhere`` is all the same."""
        config, vqvae, hmar = self.config, self.vqvae, self.hmar
        quantizer = vqvae.quantize
        scheme = Rounds(quantizer, tuple(map(tuple, config["schedule"])))
        label = torch.tensor([config["label"]], device=self.picture.device)

        yield from encoded(self, vqvae)
        tokens = vqvae.encode(self.picture)
        inputs, _ = quantizer.teacher_inputs(tokens)
        yield self.close("teacher_logits", hmar(inputs, label))

        hidden = torch.zeros(1, inputs.shape[1], dtype=torch.bool, device=inputs.device)
        hidden[:, self.expected["hidden_positions"]] = True
        masked = masked_inputs(scheme, tokens, hidden)
        yield self.close("own_input", masked[..., inputs.shape[2] : -1])
        yield self.close("hidden_logits", hmar(masked, label))

        sampling = Sampling(guidance=config["cfg"], top_k=config["top_k"], top_p=config["top_p"])
        noting, steps = generated(
            HMARPair(vqvae, hmar), scheme, config["label"], sampling, likeliest
        )
        turns = dict.fromkeys(range(len(scheme.scales)), 0)
        for k, given, logits in noting.calls:
            turn, turns[k] = turns[k], turns[k] + 1
            if turn == 0:
                yield self.same(f"next_tokens.{k}", logits.argmax(-1))
                yield self.close(f"next_logits.{k}", logits[:, :36])
            else:
                yield self.same(f"masked.{k}.{turn}", given[0, :, -1].nonzero()[:, 0])
                yield self.close(f"refine_logits.{k}.{turn}", logits[:, :36])
        for step in steps:
            yield self.same(f"greedy_tokens.{step.index}", step.ids)
        picture = (vqvae.decode(steps[-1].feature_map) + 1) / 2
        yield self.close("greedy_image", self.seen(picture))


def masked_inputs(scheme: Rounds, tokens: list[Tensor], hidden: Tensor) -> Tensor:
    """What the mask branch reads of a picture's own ids at all scales but the first, (1, L - 1,
    2 z + 1), some positions (1, L - 1) hidden."""
    state, begin, parts = scheme.zeros(1), 0, []
    for k, ids in enumerate(tokens):
        vectors = scheme.codebook[ids]
        if k:
            end = begin + ids.shape[1]
            parts.append(scheme.inputs_again(k, state, vectors, hidden[:, begin:end]))
            begin = end
        state = scheme.advance(k, state, vectors)
    return torch.cat(parts, dim=1)
