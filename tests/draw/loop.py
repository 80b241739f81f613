"""The loop with tiny networks, the same without its short cuts, and a predictor that is planted."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from engine.draw.guidance import Label, guide, guided
from engine.draw.keeping import ClosedLoop, Keeper
from engine.draw.loop import ScaleStep, generate
from engine.draw.sampling import draw, noise
from engine.model.var.predictor import CachedVAR
from engine.model.var.transformer import VAR
from engine.model.var.vqvae import VQVAE
from engine.plan.rules import Sampling
from tests.tiny import SCALES

ALL = [torch.ones(side * side, dtype=torch.bool) for side in SCALES]


def pictures(count: int) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.rand(count, 3, 32, 32, generator=generator) * 2 - 1


def some_maps() -> list[Tensor]:
    """A kept scale, then partly regenerated ones."""
    return [
        torch.zeros(1, dtype=torch.bool),
        torch.tensor([True, False, False, False]),
        torch.tensor([True, True, False, False, True, True] + [False] * 9 + [True]),
    ]


def side_by_side(finest: Tensor, side: int) -> list[bool]:
    """Whether anything of the finest map is to be drawn under each position of a coarser one."""
    whole, step = finest.view(4, 4), 4 // side
    return [
        bool(whole[r * step : (r + 1) * step, c * step : (c + 1) * step].any())
        for r in range(side) for c in range(side)
    ]  # fmt: skip


@torch.inference_mode()
def plain(
    var: VAR,
    vqvae: VQVAE,
    *,
    label: int | None,
    maps: list[Tensor],
    seed: int,
    sampling: Sampling,
    features: Tensor | None,
) -> tuple[list[Tensor], Tensor]:
    """The oracle: no cache, both branches always, every position drawn, one whole forward pass a
    scale over everything so far."""
    quantizer = vqvae.quantize
    no_label = var.spec.no_label
    labels = torch.tensor([no_label if label is None else label, no_label])
    feature_map, inputs, out = quantizer.zeros(1), [], []
    for k, side in enumerate(SCALES):
        if k:
            inputs.append(quantizer.inputs(k, feature_map))
        if k and features is not None and var.spec.foresight:
            inputs[-1] = inputs[-1].clone()
            cells = side_by_side(maps[-1], side)
            own = quantizer.inputs(k, features)
            for n in range(side * side):  # one by one, as one would say it
                if not cells[n]:
                    inputs[-1][:, n] = own[:, n]
            mark = torch.tensor([0.0 if unknown else 1.0 for unknown in cells])
            inputs[-1] = torch.cat([inputs[-1], mark.view(1, -1, 1)], 2)
        so_far = torch.cat(inputs, 1) if inputs else torch.zeros(1, 0, 8)
        logits = var(so_far.expand(2, -1, -1), labels, scales=k + 1)[:, -side * side :]
        strength = sampling.guidance * k / (len(SCALES) - 1)
        if sampling.schedule == "falling":
            strength = sampling.guidance - strength
        logits = guide(logits[:1], logits[1:], strength)
        every = torch.arange(side * side)
        ids, _ = draw(logits, noise((seed,), k, every), sampling)
        if features is not None:
            kept = quantizer.kept(k, feature_map, features)
            ids = torch.where(maps[k], ids, kept)
        out.append(ids)
        feature_map = quantizer.add(k, feature_map, quantizer.look_up(k, ids))
    return out, feature_map


class Unanchored(ClosedLoop):
    """Leaves the known area as its tokens make it."""

    def finished(self, state: Tensor) -> Tensor:
        return state


def closed_loop(
    vqvae: VQVAE, features: Tensor, maps: list[Tensor], kind: type[ClosedLoop] = Unanchored
) -> ClosedLoop:
    return kind(vqvae.quantize, features, regenerate=maps[-1])


@torch.inference_mode()
def predictor_of(var: VAR, label: Label, sampling: Sampling) -> Any:
    return guided(partial(CachedVAR.of, var), label, sampling, len(SCALES))


def run(
    var: VAR,
    vqvae: VQVAE,
    *,
    label: Label,
    maps: list[Tensor],
    seeds: tuple[int, ...],
    sampling: Sampling,
    features: Tensor | None,
    coarse_seeds: tuple[int, ...] = (),
) -> list[ScaleStep]:
    keeper = Keeper(vqvae.quantize)
    if features is not None:
        keeper = Unanchored(
            vqvae.quantize, features, regenerate=maps[-1],
            foresight=features if var.spec.foresight else None,
        )  # fmt: skip
    return list(
        generate(
            predictor_of(var, label, sampling),
            keeper,
            regenerate=maps,
            seeds=seeds,
            sampling=sampling,
            pictures=1 if features is None else features.shape[0],
            coarse_seeds=coarse_seeds,
        )
    )


class Planted:
    """A predictor that wants one token everywhere, and notes what it was asked."""

    def __init__(self, token: int) -> None:
        self.token = token
        self.asked: list[tuple[int, int]] = []
        self.skipped: list[int] = []

    def skip(self, k: int, inputs: Tensor) -> None:
        self.skipped.append(k)

    def logits(self, k: int, inputs: Tensor, rows: Tensor, branches: int = 1) -> Tensor:
        self.asked.append((k, rows.numel()))
        logits = torch.zeros(inputs.shape[0], rows.numel(), 64)
        logits[..., self.token] = 50.0
        return logits
