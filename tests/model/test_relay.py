"""Two predictors of one codebook: the first draws the coarse scales, the second the rest."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor

from engine.draw.guidance import guided
from engine.draw.keeping import Keeper
from engine.draw.loop import generate
from engine.model.family import Predictor
from engine.model.relay import Relay
from engine.model.var.predictor import CachedVAR
from engine.plan.rules import Sampling
from tests.tiny import SCALES, tiny_var, tiny_vqvae

ALL = [torch.ones(side * side, dtype=torch.bool) for side in SCALES]
QUANTIZER = tiny_vqvae().quantize
LARGE, SMALL = tiny_var(), tiny_var(shared=True)


@torch.inference_mode()
def drawn(source: object, label: int | None, seeds: tuple[int, ...]) -> list[Tensor]:
    sampling = Sampling(guidance=2.0)
    predictor = guided(source, label, sampling, len(SCALES))  # type: ignore[arg-type]
    steps = generate(
        predictor, Keeper(QUANTIZER), regenerate=ALL, seeds=seeds, sampling=sampling
    )
    return [step.ids for step in steps]


def relay(switch: int, labels: tuple[int | None, ...], number: int) -> Predictor:
    first, second = (CachedVAR.of(var, labels, number) for var in (LARGE, SMALL))
    return Relay(first, second, switch)


@pytest.mark.parametrize("seeds", [(3,), (3, 4)])
@pytest.mark.parametrize("label", [None, 2])
@pytest.mark.parametrize("switch", range(len(SCALES) + 1))
def test_the_second_one_goes_on_from_what_the_first_one_drew(
    switch: int, label: int | None, seeds: tuple[int, ...]
) -> None:
    """Against a whole pass of each model, without a cache, over what was drawn so far."""
    found = drawn(partial(relay, switch), label, seeds)
    ends = {
        var: drawn(partial(CachedVAR.of, var), label, seeds) for var in (LARGE, SMALL)
    }  # the coarse scales are the first one's, alone
    assert all(map(torch.equal, found[:switch], ends[LARGE][:switch]))
    if switch == 0:
        assert all(map(torch.equal, found, ends[SMALL]))
    if 0 < switch < len(SCALES):
        expected = teacher_forced(found[: switch + 1], switch, label, seeds)
        assert torch.equal(found[switch], expected)
        assert not torch.equal(found[switch], ends[LARGE][switch])


@torch.inference_mode()
def teacher_forced(
    ids: list[Tensor], k: int, label: int | None, seeds: tuple[int, ...]
) -> Tensor:
    """What the second model draws at scale k after the ids of the coarser ones."""
    from engine.draw.sampling import draw, noise

    rows = []
    for row, seed in enumerate(seeds):
        maps = [each[row % len(each)][None] for each in ids]
        inputs, _ = QUANTIZER.teacher_inputs(maps)
        labels = [SMALL.spec.no_label if label is None else label, SMALL.spec.no_label]
        logits = SMALL(inputs.expand(2, -1, -1), torch.tensor(labels), scales=k + 1)
        own, none = logits[:, -SCALES[k] ** 2 :].split(1)
        strength = 0.0 if label is None else 2.0 * k / (len(SCALES) - 1)
        where = torch.arange(SCALES[k] ** 2)
        rows.append(draw(own + strength * (own - none), noise((seed,), k, where), Sampling())[0])
    return torch.cat(rows)
