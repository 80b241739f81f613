"""Compiled blocks give what plain ones give."""

from __future__ import annotations

import pytest
import torch

from engine.machine.compiled import compile_blocks
from engine.plan.rules import Sampling
from tests.draw.test_generation import run, some_maps
from tests.tiny import tiny_var, tiny_vqvae


@pytest.mark.parametrize(
    ("device", "backend"),
    [("cpu", "eager"), pytest.param("cuda", "inductor", marks=pytest.mark.gpu)],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_an_edit_through_compiled_blocks_is_the_same(device: str, backend: str) -> None:
    vqvae, outcomes = tiny_vqvae().to(device), []
    features = vqvae.features(torch.rand(1, 3, 32, 32, device=device))
    for compiled in (False, True):
        var = tiny_var().to(device)
        if compiled:
            compile_blocks(var, backend=backend)
        steps = run(
            var, vqvae, label=1, maps=some_maps(), seeds=(3, 4),
            sampling=Sampling(guidance=2.0), features=features,
        )  # fmt: skip
        outcomes.append(steps[-1])
    assert torch.equal(outcomes[0].ids, outcomes[1].ids)
    torch.testing.assert_close(outcomes[0].feature_map, outcomes[1].feature_map)
