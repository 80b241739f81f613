"""The benchmark measures what it says: its yardstick is the authors' algorithm."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.benchmark.measure import Case, Clock, transformer_flop
from engine.benchmark.plain import plain_edit
from engine.spec import VARSpec
from tests.parity import TOLERANCE, Fixture
from tests.test_parity import FIXTURES


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
@pytest.mark.parametrize("task", ["inpaint", "outpaint"])
def test_the_plain_implementation_gives_the_authors_picture(path: object, task: str) -> None:
    with torch.inference_mode():
        fixture = Fixture.read(path)
    picture = plain_edit(
        fixture.vqvae,
        fixture.var,
        fixture.expected["image"],
        fixture.expected[f"{task}_keep_mask"],
        label=None if task == "inpaint" else fixture.label,
        guidance=fixture.guidance,
        top_k=1,
        top_p=0.9,
        variations=2,
        generator=torch.Generator().manual_seed(0),
        autocast=False,
    )
    expected = fixture.expected[f"{task}_image"]
    assert float(((picture + 1) / 2 - expected).abs().max()) <= TOLERANCE


def test_under_autocast_the_plain_implementation_gives_nearly_the_same() -> None:
    with torch.inference_mode():
        fixture = Fixture.read(FIXTURES[0])
    pictures = [
        plain_edit(
            fixture.vqvae, fixture.var, fixture.expected["image"],
            torch.ones_like(fixture.expected["inpaint_keep_mask"]), label=None, guidance=0,
            top_k=1, top_p=1, variations=1, generator=torch.Generator(), autocast=autocast,
        )
        for autocast in (False, True)
    ]  # fmt: skip
    assert float((pictures[0] - pictures[1]).abs().mean()) < 0.1


def test_operations_of_a_whole_guided_d16_picture_are_the_published_number() -> None:
    """597 GFLOP (facts about VAR), which counts the two branches of every scale."""
    case = Case("d16-256", "ours", True, 1, 1.0, 1)
    flop = transformer_flop(VARSpec.d16(), np.ones((256, 256), bool), case)
    assert flop == pytest.approx(597e9, rel=0.05)


def test_a_clock_adds_up_what_it_watches() -> None:
    class Owner:
        def work(self) -> int:
            return 3

    owner, clock = Owner(), Clock()
    clock.watch(owner, "work", "part")
    assert owner.work() + owner.work() == 6
    assert clock.parts["part"] > 0
