"""The side and the steps that may be asked of a model that is free in them."""

from __future__ import annotations

from itertools import pairwise

import pytest

from engine.errors import RequestError
from engine.model.flexvar.spec import PRACTISED, SCALES_9, SCALES_13, SCALES_15, FlexVARSpec
from engine.model.spec import SCALES_256
from engine.plan.card import Card
from engine.plan.labels import Labels
from engine.plan.plan import plan
from engine.plan.schedules import with_steps
from engine.request import EditRequest
from engine.request.options import EditOptions

SPEC = FlexVARSpec.official(16)
LABELS = Labels(["bird", "boat"])
FREE = Card(
    name="free", side=256, scales=SCALES_256, labels=LABELS, schedules=SPEC.schedules,
    practised=SPEC.practised,
)  # fmt: skip
BOUND = Card(name="bound", side=256, scales=SCALES_256, labels=LABELS)


@pytest.mark.parametrize("count", range(2, 17))
@pytest.mark.parametrize("base", [SCALES_256, SCALES_15, (1, 2, 4, 8, 16)])
def test_any_number_of_steps_climbs_from_one_to_the_last_side(count, base):
    scales = with_steps(base, count, PRACTISED)
    assert len(scales) == count and scales[0] == 1 and scales[-1] == base[-1]
    assert all(before < after for before, after in pairwise(scales))
    if base == SCALES_256 and count <= len(PRACTISED):
        assert set(scales) <= set(PRACTISED), "while there are enough of them"


def test_the_usual_number_gives_the_usual_schedule():
    for base in (SCALES_256, SCALES_9, SCALES_13, SCALES_15):
        assert with_steps(base, len(base)) == base


@pytest.mark.parametrize(
    ("asked", "side", "scales"),
    [
        ({}, 256, SCALES_256),
        ({"steps": 9}, 256, SCALES_9),
        ({"steps": 13}, 256, SCALES_13),
        ({"square": 512}, 512, SCALES_15),
        ({"square": 512, "steps": 15}, 512, SCALES_15),
        ({"steps": 2}, 256, (1, 16)),
        ({"square": 512, "steps": 2}, 512, (1, 32)),
    ],
)
def test_a_free_model_takes_what_suits_it(asked, side, scales):
    card = FREE.drawing(EditOptions(**asked))
    assert (card.side, card.scales) == (side, scales)


@pytest.mark.parametrize(
    ("card", "asked", "said"),
    [
        (FREE, {"square": 300}, r"^square: 'free' sees squares of 256 or 512 pixels \(got 300\)$"),
        (BOUND, {"square": 512}, r"^square: 'bound' sees squares of 256 pixels \(got 512\)$"),
        (BOUND, {"steps": 9}, r"^steps: 'bound' always draws 10 scales \(got 9\)$"),
    ],
)
def test_what_a_model_cannot_do_is_one_line(card, asked, said):
    with pytest.raises(RequestError, match=said):
        card.drawing(EditOptions(**asked))
    assert BOUND.drawing(EditOptions(square=256, steps=10)) == BOUND


def test_a_plan_says_at_which_side_and_in_which_scales_it_is_drawn():
    options = EditOptions(seed=1, square=512)
    asked = EditRequest(task="generate", label="bird", options=options)
    decided = plan(asked, FREE)
    (one,) = decided.passes
    assert (one.side, one.scales, decided.size) == (512, SCALES_15, (512, 512))
    sampling = one.sampling
    assert sampling.sure == tuple(k for k, s in enumerate(SCALES_15) if s not in PRACTISED)
    assert [sampling.at(k, 15).top_k for k in (5, 6)] == [sampling.top_k, 1]
    assert decided.request.options == options


def test_a_ramp_rises_as_over_ten_scales_and_is_full_above_what_was_practised():
    options = EditOptions(seed=1, square=512, guidance=3.0, guidance_schedule="ramp")
    asked = EditRequest(task="generate", label="bird", options=options)
    sampling = plan(asked, FREE).passes[0].sampling
    strong = [sampling.guidance_at(k, 15) for k in range(15)]
    assert strong[:13] == pytest.approx([k / 3 for k in range(13)]) and strong[13:] == [3, 3]
    ten = plan(asked.model_copy(update={"options": EditOptions(guidance=3.0)}), FREE)
    assert [ten.passes[0].sampling.guidance_at(k, 10) for k in (0, 9)] == [0, 3]
