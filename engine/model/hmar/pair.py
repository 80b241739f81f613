"""HMAR as a family (`engine.model.family`): VAR's VQVAE, its own scheme and transformer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from engine.model.family import Held, Labels
from engine.model.hmar.scheme import Rounds, published_schedule
from engine.model.hmar.transformer import HMAR, Branches
from engine.model.var.vqvae import VQVAE


@dataclass(frozen=True)
class HMARPair:
    """A model: the codec is VAR's, the predictor a transformer that needs no cache."""

    vqvae: VQVAE
    hmar: HMAR

    @property
    def codec(self) -> VQVAE:
        return self.vqvae

    @cached_property
    def scheme(self) -> Rounds:
        return Rounds(self.vqvae.quantize, published_schedule(self.hmar.spec.scales))

    @property
    def device(self) -> torch.device:
        return self.hmar.pos_start.device

    @property
    def networks(self) -> tuple[VQVAE, HMAR]:
        return self.vqvae, self.hmar

    @property
    def picture_bytes(self) -> int:
        """The logits of a run, with a label and without; nothing else is left of it."""
        spec = self.hmar.spec
        return 2 * 4 * spec.num_tokens * spec.codebook_size

    def condition(self, labels: Labels) -> Branches:
        spec = self.hmar.spec
        ids = [spec.no_label if label is None else label for label in labels]
        return self.hmar.condition(torch.tensor(ids, device=self.device))

    def predictor(self, condition: Branches, branches: int) -> WithinScale:
        return WithinScale(self.hmar, condition, branches)


@dataclass(frozen=True)
class Nothing:
    """What is left of the scales that were run."""

    nbytes: int = 0


class WithinScale:
    """A predictor that keeps nothing: scales that are kept cost nothing.

    ``condition`` is of the labels, one or one a picture, of each branch of guidance in turn. What
    is drawn again is not guided (the authors' guidance there is a millionth): the label's branch
    answers for all.
    """

    def __init__(self, hmar: HMAR, condition: Branches, branches: int = 1) -> None:
        self.hmar = hmar
        self.condition = condition
        self.labels = len(condition.next.start) // branches

    def skip(self, k: int, inputs: Tensor) -> None:
        pass

    def logits(self, k: int, inputs: Tensor, rows: Tensor, branches: int = 1) -> Tensor:
        masked = inputs.shape[-1] > self.hmar.spec.latent_channels
        own = self.condition.mask if masked else self.condition.next
        run = 1 if masked else branches
        condition = own.expand(len(inputs) // self.labels).first(run * len(inputs))
        logits = self.hmar.logits(k, inputs.repeat(run, 1, 1), condition, rows)
        return logits.repeat(branches // run, 1, 1)

    def resume(self, k: int, held: Held) -> None:
        pass

    def held(self, scales: int) -> Held:
        return Nothing()
