"""What FlexVAR's training does otherwise than VAR's: a schedule for each step, and its tokens.

A scale's tokens are the picture at that side, whatever the others are, so they are kept for every
side and a schedule takes those it has.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from engine.model.attention import Attention
from engine.model.flexvar.spec import FlexVARSpec
from engine.model.flexvar.transformer import FlexVAR
from engine.model.spec import Scales
from engine.training.var_trainer import VARTrainer
from engine.weights import families

USUAL = 0.5  # share of the steps with the schedule that edits have if nothing else is asked for


def random_schedule(usual: Scales, generator: torch.Generator) -> Scales:
    """Of as many scales, from the same first to the same last one; those between are as far as the
    middle, in proportion, to their usual neighbours."""
    found = [usual[0]]
    for below, side, above in zip(usual, usual[1:], usual[2:], strict=False):
        lowest = max(round((below * side) ** 0.5), found[-1] + 1)
        highest = max(int((side * above) ** 0.5), lowest)
        found.append(int(torch.randint(lowest, highest + 1, (1,), generator=generator)))
    return (*found, usual[-1])


class FlexVARTrainer(VARTrainer):
    title = "flexvar"
    family = families.FLEXVAR

    def build(self, sizes: dict[str, Any], attention: Attention) -> FlexVAR:
        return FlexVAR(FlexVARSpec(**sizes, grid=sizes["scales"][-1]), attention)

    def go_on_from(self, var: FlexVAR, start: Path, sizes: dict[str, Any]) -> None:
        """All but the head and the levels: positions are those of the finest scale, and a code is
        read as the features that it is the direction of (`flexvae.start_from`)."""
        weights = self.weights_of(start, sizes)
        side = var.spec.grid
        finest = weights["pos_1LC"][:, -side * side :]
        weights["pos_1LC"] = finest.transpose(1, 2).unflatten(2, (side, side))
        constant, codes = self.vqvae.encoder.linear.bias[-1], self.vqvae.scheme.codebook
        weights["word_embed.weight"] *= constant / codes[:, -1].mean()
        weights["word_embed.weight"][:, -1] = 0
        ours = var.state_dict()
        kept = {n: t for n, t in weights.items() if n in ours and not n.startswith("head.")}
        var.load_state_dict({**ours, **kept})

    def to_store(self) -> Any:
        return self.vqvae.at(tuple(range(1, self.vqvae.spec.scales[-1] + 1)))

    def begin_step(self, generator: torch.Generator | None) -> None:
        self.schedule = self.spec.scales
        if generator is not None and float(torch.rand(1, generator=generator)) >= USUAL:
            self.schedule = random_schedule(self.spec.scales, generator)
