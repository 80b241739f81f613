"""Classifier-free guidance: a predictor of two branches, with the label and without, as one."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from engine.model.family import Labels, Predictor
from engine.plan.rules import Sampling

Label = int | None | Labels
"""A class id or None, "no label"; or one of these for each picture, all None or none of them."""

Source = Callable[[Labels, int], Predictor]
"""The predictor of some labels, in so many branches."""


def is_guided(label: Label, sampling: Sampling) -> bool:
    """Whether a run has two branches. Without a label they would be equal."""
    labels = label if isinstance(label, tuple) else (label,)
    return sampling.guidance > 0 and labels[0] is not None


def branches(label: Label, sampling: Sampling) -> Labels:
    """The labels that an edit runs, one or one a picture; then, where they guide, "no label" as
    often."""
    own = label if isinstance(label, tuple) else (label,)
    return own + (None,) * len(own) if is_guided(label, sampling) else own


def guided(source: Source, label: Label, sampling: Sampling, scales: int) -> Predictor:
    """The predictor of a label, guided where the sampling says so."""
    labels = branches(label, sampling)
    if not is_guided(label, sampling):
        return source(labels, 1)
    return Guided(source(labels, 2), sampling, scales)


def guide(conditional: Tensor, unconditional: Tensor, strength: float) -> Tensor:
    """Classifier-free guidance on logits (Ho and Salimans 2022): (1 + t) c - t u."""
    return conditional + strength * (conditional - unconditional)


def unguided_from(sampling: Sampling, scales: int) -> int:
    """The first scale from which on guidance is 0 to the end."""
    strong = [k for k in range(scales) if sampling.guidance_at(k, scales) > 0]
    return strong[-1] + 1 if strong else 0


class Guided:
    """Logits with the label, led away from those without it. Once nothing is guided any more
    (schedule "falling") only the branch of the label is run."""

    def __init__(self, inner: Predictor, sampling: Sampling, scales: int) -> None:
        self.inner = inner
        self.sampling = sampling
        self.scales = scales
        self.unguided = unguided_from(sampling, scales)
        self._scale = -1  # that ``_last`` is of
        self._last: tuple[Tensor, ...] = ()  # the logits of both branches, of its first round

    def skip(self, k: int, inputs: Tensor) -> None:
        self.inner.skip(k, inputs)

    def logits(self, k: int, inputs: Tensor, rows: Tensor, branches: int = 1) -> Tensor:
        assert branches == 1, "the two branches are one here"
        if k >= self.unguided:
            self._last = ()
            return self.inner.logits(k, inputs, rows)
        conditional, unconditional = self.inner.logits(k, inputs, rows, branches=2).chunk(2)
        if k != self._scale:
            self._scale, self._last = k, (conditional, unconditional)
        return guide(conditional, unconditional, self.sampling.guidance_at(k, self.scales))

    def evidence(self, ids: Tensor) -> Tensor:
        """What the tokens (B, n) of the last scale say for the label, (B,), in nats.

        log p(ids | label) - log p(ids | no label), by the logits of its first round before guidance
        and filters; 0 where only the branch of the label was run.
        """
        total = torch.zeros(len(ids), device=ids.device)
        for sign, logits in zip((1, -1), self._last, strict=False):
            each = ids.unflatten(0, (len(logits), -1)).transpose(1, 2)  # (N, n, B / N)
            chance = logits.gather(-1, each) - logits.logsumexp(-1, keepdim=True)
            total = total + sign * chance.sum(1).flatten()
        return total
