"""From a request and a card to the passes: pure, complete, and without a network library."""

from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from engine import EditOptions, EditRequest, EngineError, RequestError
from engine.plan.card import Card
from engine.plan.labels import Labels
from engine.plan.plan import Plan, plan
from engine.request import Region
from engine.request.options import MAX_SEED
from tests.house import ROOT
from tests.pictures import noisy_rgb
from tests.test_mistakes import bad_regions, bad_requests

NAMES = ["bird", "boat", "hills", "crane", "crane"]
LABELS = Labels(NAMES, {"bird": ["boat", "crane"]})
CARD = Card(name="tiny", side=32, scales=(1, 2, 4), labels=LABELS)
SEEING = replace(CARD, foresight=True)
MASK = np.zeros((64, 80), bool)
MASK[20:40, 30:50] = True
SMALL = np.zeros_like(MASK)
SMALL[4:10, 60:70] = True


def asked(task: str = "inpaint", options: dict[str, Any] | None = None, **more: Any) -> EditRequest:
    given: dict[str, Any] = {"options": EditOptions(**(options or {}))}
    if task != "generate":
        given["image"] = noisy_rgb(80, 64)
    if task in ("inpaint", "edit_class") and "regions" not in more:
        given["mask"] = MASK
    return EditRequest(task=task, **given, **more)


def requests() -> list[EditRequest]:
    regions = (Region(mask=SMALL, label="boat"), Region(mask=MASK, label="hills"))
    return [
        asked("inpaint", {"variations": 3, "speed": "fast"}),
        asked("outpaint", right=100, top="25%"),
        asked("edit_class", {"seed": 4, "variations": 2, "candidates": 5}, label="bird"),
        asked("edit_class", regions=regions),
        asked("generate", {"coarse_seeds": (5, 5)}, label="bird"),
    ]


def same(a: Plan, b: Plan) -> bool:
    """Values that hold arrays cannot be compared by themselves."""
    masks = [[one.mask for one in each.passes] for each in (a, b)]
    alike = all(np.array_equal(x, y) for x, y in zip(*masks, strict=True))
    return alike and repr(a) == repr(b)


@pytest.mark.parametrize("request_", requests(), ids=lambda r: r.task)
def test_a_plan_is_pure(request_: EditRequest) -> None:
    """The same twice, and what it was made from is as it was."""
    before = pickle.dumps((request_, SEEING))
    first, second = plan(request_, SEEING), plan(request_, SEEING)
    assert same(first, second)
    assert pickle.dumps((request_, SEEING)) == before


@pytest.mark.parametrize("request_", requests(), ids=lambda r: r.task)
def test_a_plan_can_be_pickled(request_: EditRequest) -> None:
    decided = plan(request_, SEEING)
    again = pickle.loads(pickle.dumps(decided))
    assert same(decided, again) and again.seeds == decided.seeds
    assert again.request.to_json() == decided.request.to_json()


@pytest.mark.parametrize("request_", requests(), ids=lambda r: r.task)
def test_a_printed_plan_says_what_it_is_and_no_array(request_: EditRequest) -> None:
    decided = plan(request_, SEEING)
    text = repr(decided)
    assert "array(" not in text and "<PIL" not in text and "\n" not in text
    for one in decided.passes:
        assert f"{one.role}: {int(one.mask.sum())} pixels" in text
        assert all(f"{w.side} at {w.left},{w.top}" in text for w in one.windows)
        assert str(one.keeping) in text and str(one.sampling) in text and str(one.finish) in text


PLANNING = """
import sys
import numpy as np
from PIL import Image
from engine import EditOptions, EditRequest
from engine.plan.card import Card
from engine.plan.labels import Labels
from engine.plan.plan import plan

card = Card(name="tiny", side=32, scales=(1, 2, 4), labels=Labels(["bird"]), foresight=True)
picture = Image.new("RGB", (40, 30))
mask = np.zeros((30, 40), bool)
mask[9:20, 9:20] = True
for request in (
    EditRequest(task="inpaint", image=picture, mask=mask),
    EditRequest(task="edit_class", image=picture, mask=mask, label="bird"),
    EditRequest(task="outpaint", image=picture, right="50%"),
    EditRequest(task="generate", label="bird"),
):
    assert plan(request, card).passes
print(sorted({name.split(".")[0] for name in sys.modules} & {"torch", "safetensors", "gradio"}))
"""


def test_planning_loads_no_network_library() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PLANNING], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(("message", "fields"), bad_requests(), ids=lambda v: str(v)[:24])
def test_every_mistake_is_found_before_a_model_is_there(message: str, fields: Any) -> None:
    with pytest.raises(EngineError, match=message) as caught:
        plan(EditRequest(**{"task": "inpaint", **fields}), CARD)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("message", "fields"), bad_regions(), ids=lambda v: str(v)[:24])
def test_so_is_every_mistake_in_a_region(message: str, fields: Any) -> None:
    with pytest.raises(EngineError, match=message) as caught:
        plan(EditRequest(**{"task": "edit_class", "image": noisy_rgb(20, 10), **fields}), CARD)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variations": 3, "candidates": 1}, "candidates: 1 are too few for 3 variations"),
        ({"studio": True}, "studio: needs a backdrop .* set backdrop as well"),
    ],
)
def test_options_that_do_not_go_together_are_told(options: Any, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        plan(asked("edit_class", options, label="bird"), CARD)


def test_a_new_picture_is_one_pass_of_which_nothing_is_known() -> None:
    decided = plan(asked("generate", {"seed": 7}, label="hills"), CARD)
    (one,) = decided.passes
    assert one.role == "new" and one.mask.shape == (32, 32) and one.mask.all()
    assert [w.within(32, 32) for w in one.windows] == [(0, 0, 32, 32)]
    assert decided.size == (32, 32) and decided.box == (0, 0, 32, 32) and decided.windows == []
    assert one.label == 2 and one.labels == (2,) and one.guided


def test_without_a_label_nothing_pulls() -> None:
    for task in ("inpaint", "generate"):
        (one,) = plan(asked(task, {"guidance": 3}), CARD).passes
        assert one.sampling.guidance == 0 and not one.guided and one.labels == (None,)
    (one,) = plan(asked("inpaint", {"guidance": 3}, label="hills"), CARD).passes
    assert one.sampling.guidance == 3 and one.guided


def test_a_class_edit_before_a_backdrop_is_what_is_behind_it_and_the_thing() -> None:
    options = {"seed": 9, "variations": 2, "speed": "fast", "feather": 5, "guidance": 3}
    decided = plan(asked("edit_class", options, label="bird"), SEEING)
    behind, thing = decided.passes
    assert (behind.role, thing.role) == ("behind", "thing")
    assert decided.drawn == (thing,) and decided.seeds == (9, 10)
    assert np.array_equal(behind.mask, MASK) and np.array_equal(thing.mask, MASK)
    assert thing.studio and not behind.studio
    assert behind.seeds == (0,) and behind.labels == (None,) and behind.shown == 1
    assert behind.fast and behind.finish.feather == 0, "its place and its speed, and no more"
    inpainted = plan(asked("inpaint", {"seed": 0, "speed": "fast"}), SEEING).passes[0]
    assert repr(behind) == repr(inpainted).replace("Pass(fill", "Pass(behind")


def test_what_is_behind_a_thing_takes_its_detail_from_where_one_asked_for_it() -> None:
    given: list[dict[str, Any]] = [{}, {"detail": "model"}]
    found = [plan(asked("edit_class", each, label="bird"), SEEING).passes[0] for each in given]
    assert [one.finish.detail for one in found] == ["picture", "model"]


def test_there_is_one_behind_all_regions_and_the_larger_thing_comes_first() -> None:
    regions = (Region(mask=SMALL, label="boat"), Region(mask=MASK, label="hills"))
    decided = plan(asked("edit_class", regions=regions), SEEING)
    assert [one.role for one in decided.passes] == ["behind", "thing", "thing"]
    behind, large, small = decided.passes
    assert np.array_equal(behind.mask, MASK | SMALL) and np.array_equal(decided.mask, MASK | SMALL)
    assert np.array_equal(large.mask, MASK) and np.array_equal(small.mask, SMALL)
    assert (large.label, small.label) == (2, 1)
    assert (large.studio, small.studio) == (False, True), "hills are no thing"
    assert (large.first, small.first) == (0, len(large.windows)), "each its own noise"


@pytest.mark.parametrize("card", [CARD, SEEING])
@pytest.mark.parametrize("options", [{"rule": "paper"}, {"backdrop": False}])
def test_without_a_backdrop_a_class_edit_is_one_pass(card: Card, options: Any) -> None:
    (one,) = plan(asked("edit_class", options, label="bird"), card).passes
    assert one.role == "fill" and not one.studio


def test_with_all_of_a_picture_masked_there_is_nothing_behind() -> None:
    request = asked("edit_class", label="bird").model_copy(update={"mask": np.ones_like(MASK)})
    assert [one.role for one in plan(request, SEEING).passes] == ["fill"]
    unknown = request.model_copy(update={"mask": None})
    decided = plan(unknown, SEEING, any_mask=True)
    assert [one.role for one in decided.passes] == ["behind", "thing"], "a mask may lie anywhere"


def test_what_extends_a_picture_is_all_that_is_new() -> None:
    decided = plan(asked("outpaint", left=8, right=40, top="25%"), CARD)
    assert decided.margins == (8, 16, 40, 0)
    assert decided.size == (128, 80) and decided.box == (0, 0, 128, 80)
    (one,) = decided.passes
    known = np.zeros((80, 128), bool)
    known[16:80, 8:88] = True
    assert one.role == "fill" and np.array_equal(one.mask, ~known)
    assert len(one.windows) > 1 and decided.windows == list(one.windows)
    assert not plan(asked("outpaint", {"speed": "fast"}, right=8), CARD).passes[0].fast


def test_only_what_a_window_shows_is_looked_at() -> None:
    mask = np.zeros((200, 300), bool)
    mask[90:100, 200:210] = True
    def planned(detail: str) -> Plan:
        options = EditOptions(detail=detail)
        picture = noisy_rgb(300, 200)
        return plan(EditRequest(task="inpaint", image=picture, mask=mask, options=options), CARD)

    decided = planned("model")
    (window,) = decided.windows
    assert decided.box == window.within(300, 200) and decided.size == (300, 200)
    assert decided.margins == (0, 0, 0, 0)
    left, top, right, bottom = decided.box
    wide = planned("picture").box  # what may lend its detail lies around it
    assert wide == (left - 96, max(top - 96, 0), min(right + 96, 300), min(bottom + 96, 200))


def test_seeds_follow_one_another_and_the_last_is_followed_by_the_first() -> None:
    def seeds(**options: Any) -> tuple[int, ...]:
        return plan(asked("generate", options), CARD).seeds

    assert seeds(seed=5, variations=3) == (5, 6, 7)
    assert seeds(seed=MAX_SEED, variations=2) == (MAX_SEED, 0)
    assert seeds() == (0,), "planned, not drawn: the editor gives it one"


def test_candidates_are_ranked_and_only_the_best_are_shown() -> None:
    decided = plan(asked("inpaint", {"seed": 5, "variations": 2, "candidates": 4}), CARD)
    assert decided.ranked and decided.shown == 2 and decided.seeds == (5, 6, 7, 8)
    (one,) = decided.passes
    assert one.seeds == decided.seeds and one.shown == 2
    plain = plan(asked("inpaint", {"seed": 5, "variations": 2}), CARD)
    assert not plain.ranked and plain.shown == 2 and plain.seeds == (5, 6)


def test_each_seed_draws_its_own_of_a_class_that_stands_for_several() -> None:
    (one,) = plan(asked("generate", {"seed": 0, "variations": 2}, label="bird"), CARD).passes
    assert one.label == 0 and set(one.labels) == {1, 4}
    coarse = {"seed": 0, "variations": 2, "coarse_seeds": (1,)}
    (one,) = plan(asked("generate", coarse, label="bird"), CARD).passes
    assert one.labels == (CARD.labels.drawn(0, 1),) * 2


def test_the_request_of_a_plan_leaves_nothing_to_chance() -> None:
    decided = plan(asked("inpaint"), CARD)
    assert decided.request.model == "tiny" and decided.request.options.seed == 0


def test_what_says_nothing_of_a_thing_before_a_plain_ground_is_known() -> None:
    given = {"detail": "picture", "feather": 3}
    _, thing = plan(asked("edit_class", given, label="bird"), SEEING).passes
    assert thing.unheard == ("detail",)
    _, thing = plan(asked("edit_class", label="bird"), SEEING).passes
    assert thing.unheard == ()
