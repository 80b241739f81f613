"""What HMAR's training does otherwise than VAR's: attention within a scale, and a second branch
that learns what is hidden of a scale from the rest of it (Kumbong et al. 2025, section 4).

Both branches learn from the start, a step for one or for the other. In the authors' code hidden ids
count in what a scale's own ids add to the map, which tells their neighbours what they are; here
another picture's ids are in their place, since while drawing it is not the truth that is there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from engine import RequestError
from engine.draw.maps import unknown_maps
from engine.model.attention import Attention
from engine.model.family import Refining
from engine.model.hmar.spec import HMARSpec
from engine.model.hmar.transformer import HMAR
from engine.model.spec import Scales
from engine.training.holes import Kind, choose_kind
from engine.training.var_objective import by_token
from engine.training.var_trainer import VARTrainer
from engine.weights import families

REFINED = 4  # of the depth the fourth part, at least a block, is there twice
MASKED = 0.4  # share of the steps for the branch of the mask


class WithinScale(nn.Module):
    """HMAR with its cross entropy; called as VAR's `Objective`, but without a window."""

    def __init__(self, hmar: HMAR, *, bf16: bool):
        super().__init__()
        self.hmar, self.bf16 = hmar, bf16

    def forward(
        self, inputs: Tensor, ids: Tensor, labels: Tensor, window: None, scales: int,
        schedule: Scales | None = None,
    ) -> Tensor:  # fmt: skip
        """Cross entropy (B, L) of the first ``scales`` scales: inputs (B, L - 1, z) for the branch
        of the next scale, (B, L - 1, 2 z + 1) for that of the mask, whose first scale has 0."""
        hmar = self.hmar
        masked = inputs.shape[-1] > hmar.spec.latent_channels
        losses = [torch.zeros(len(ids), 1, device=ids.device)] if masked else []
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=self.bf16):
            branches = hmar.condition(labels)
            condition = branches.mask if masked else branches.next
            for k, (begin, end) in list(enumerate(hmar.spec.bounds[:scales]))[len(losses) :]:
                own = inputs[:, max(begin - 1, 0) : end - 1]
                logits = hmar.logits(k, own, condition, torch.arange(end - begin).to(ids.device))
                losses.append(by_token(logits, ids[:, begin:end]))
        return torch.cat(losses, dim=1)


class HMARTrainer(VARTrainer):
    title = "hmar"
    family = families.HMAR
    masked = False  # whether this step is for the branch of the mask

    def build(self, sizes: dict[str, Any], attention: Attention) -> HMAR:
        if self.group.world > 1:
            raise RequestError("hmar: a step leaves a branch out; train it in one process")
        refined = max(sizes["depth"] // REFINED, 1)
        return HMAR(HMARSpec(**sizes, refined=refined), attention)

    def go_on_from(self, var: HMAR, start: Path, sizes: dict[str, Any]) -> None:
        """Both branches begin as the last blocks of VAR's."""
        weights = {"mask_embed.weight": var.mask_embed.weight}
        base = var.spec.depth - var.spec.refined
        for name, tensor in self.weights_of(start, sizes).items():
            part, _, rest = name.partition(".")
            number, _, inside = rest.partition(".")
            if part == "blocks" and int(number) < base:
                names = [f"base_blocks.{rest}"]
            elif part == "blocks":
                own = f"{int(number) - base}.{inside}"
                names = [f"{branch}_blocks.{own}" for branch in ("ns", "mask")]
            elif part in ("head", "head_nm"):
                names = [f"{branch}_{name}" for branch in ("ns", "mask")]
            else:
                names = ["word_embed_bias" if name == "word_embed.bias" else name]
            weights.update(dict.fromkeys(names, tensor))
        var.load_state_dict(weights)

    def make_objective(self) -> nn.Module:
        return WithinScale(self.var, bf16=self.bf16)

    def phase(self, progress: float) -> tuple[int, bool]:
        return super().phase(progress)[0], False

    def begin_step(self, generator: torch.Generator | None) -> None:
        chance = 1.0 if generator is None else float(torch.rand(1, generator=generator))
        self.masked = chance < MASKED

    def kind_of_hole(self, rng: np.random.Generator) -> Kind:
        return choose_kind(rng) if self.masked else "everything"

    def weights(self, unknown: Tensor, window: Tensor | None) -> Tensor:
        weight = super().weights(unknown, window)
        if self.masked:
            weight[:, 0] = 0  # the first scale is one position, and has nothing to be told by
        return weight

    def inputs(self, maps: list[Tensor], unknown: Tensor | None) -> Tensor:
        if not self.masked:
            return super().inputs(maps, None)
        assert unknown is not None
        scheme = cast(Refining, self.model.scheme)
        state, parts = scheme.zeros(len(maps[0])), []
        unseen = unknown_maps(unknown.to(state.device), self.schedule)
        for k, ids in enumerate(maps[: self.scales]):
            vectors = scheme.codebook[ids]
            if k:
                hidden = unseen[k]
                shown = torch.where(hidden[..., None], vectors.roll(1, 0), vectors)
                parts.append(scheme.inputs_again(k, state, shown, hidden))
            state = scheme.advance(k, state, vectors)
        return torch.cat(parts, dim=1)
