"""The levers that a request leaves open, by task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

from engine.arrays import Window
from engine.frames.frame import Frame
from engine.machine.tensors import to_tensor
from engine.plan.rules import Finish, Keeping, Sampling, decide
from engine.request import EditRequest
from engine.request.options import SCENERY, TASKS, EditOptions, Situation, Task
from tests.pictures import noisy_rgb
from tests.tiny import tiny_editor

SCALES = (1, 2, 4, 8, 16)
USUAL = EditOptions()
PAPER = EditOptions(rule="paper")


def decided(
    task: Task,
    options: EditOptions = USUAL,
    own: Mapping[str, Any] | None = None,
    *,
    scales: tuple[int, ...] = SCALES,
    **more: bool,
) -> tuple[Keeping, Sampling, Finish, Mapping[str, Any]]:
    """What is decided for a model that recommends its ``own`` sampling."""
    paper = options.rule == "paper"
    found = Situation(task=task, scales=scales, recommended=own or {}, paper=paper, **more)
    return decide(options, found)


def keeping_of(task: Task, options: EditOptions = USUAL, **more: Any) -> Keeping:
    return decided(task, options, **more)[0]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("foresight", [False, True])
def test_the_rule_paper_is_the_authors_demo_in_every_lever(task: Task, foresight: bool) -> None:
    keeping, sampling, finish, chosen = decided(task, PAPER, foresight=foresight)
    assert keeping.paper and not keeping.foresight and keeping.half_known == 0
    assert keeping.structure == keeping.structure_beside == 0
    assert keeping.grow == keeping.grow_around == 0
    assert (keeping.fill, keeping.fill_beside) == ("none", "none")
    assert finish == Finish(blend="none", detail="model", feather=0)
    assert (sampling.soft_scales, sampling.schedule, sampling.cooling) == (0, "linear", False)
    assert not chosen["backdrop"]


def test_unlabelled_edits_keep_coarse_scales_and_class_edits_do_not() -> None:
    kept = {task: keeping_of(task).structure for task in TASKS}
    assert kept == {"inpaint": 3, "outpaint": 3, "edit_class": 0, "generate": 0}


def test_what_is_known_in_part_says_less_where_a_label_is_to_have_room() -> None:
    found = {task: keeping_of(task).half_known for task in TASKS}
    assert found == {"inpaint": 48, "outpaint": 48, "edit_class": 16, "generate": 16}


def test_a_class_edit_around_a_known_middle_extends_the_picture() -> None:
    whole, around = np.ones((2, 32, 32), np.float32)
    around[8:24, 8:24] = 0
    keeping = keeping_of("edit_class")
    assert (keeping.kept(whole), keeping.kept(around)) == (0, 3)
    for options in (EditOptions(structure=1), EditOptions(rule="paper", structure=1)):
        keeping = keeping_of("edit_class", options)
        assert keeping.kept(whole) == keeping.kept(around) == 1
    keeping = keeping_of("edit_class", PAPER)
    assert keeping.kept(whole) == keeping.kept(around) == 0
    for task in ("inpaint", "outpaint", "generate"):
        keeping = keeping_of(task)
        assert keeping.kept(whole) == keeping.kept(around) == keeping.structure


def test_a_rim_is_not_believed_around_a_hole_but_of_what_the_hole_surrounds() -> None:
    inside, around = np.zeros((2, 32, 32), bool)
    inside[8:24, 8:24] = True
    around[:] = ~inside
    rims = {
        task: (keeping.rim(inside), keeping.rim(around))
        for task in TASKS
        for keeping in [keeping_of(task)]
    }
    assert rims == {
        "inpaint": (4, 0), "outpaint": (0, 0), "edit_class": (0, 0), "generate": (0, 0)
    }  # fmt: skip
    asked = keeping_of("inpaint", EditOptions(grow=6))
    assert asked.rim(inside) == asked.rim(around) == 6
    paper = keeping_of("inpaint", PAPER)
    assert paper.rim(inside) == paper.rim(around) == 0


def test_what_a_hole_is_filled_with_by_task() -> None:
    fills = {task: keeping_of(task).fill for task in TASKS}
    assert fills == {
        "inpaint": "telea", "outpaint": "sideways", "edit_class": "push_pull",
        "generate": "push_pull",
    }  # fmt: skip
    beside, above = np.zeros((2, 32, 32), bool)
    beside[:, 20:] = above[:9] = True
    keeping = keeping_of("outpaint")
    assert (keeping.filling(beside), keeping.filling(above)) == ("telea", "sideways")
    for options in (EditOptions(fill="push_pull"), EditOptions(rule="paper", fill="push_pull")):
        keeping = keeping_of("outpaint", options)
        assert keeping.filling(beside) == keeping.filling(above) == "push_pull"
    for task, fill in fills.items():
        if task != "outpaint":
            keeping = keeping_of(task)
            assert keeping.filling(beside) == keeping.filling(above) == fill
    assert keeping_of("outpaint", PAPER).filling(beside) == "none"
    assert keeping_of("inpaint", EditOptions(fill="none")).fill == "none"


HOLES = {
    "inside": (slice(8, 24), slice(8, 24)),
    "beside": (slice(None), slice(20, None)),
    "above": (slice(0, 9), slice(None)),
}


@pytest.mark.parametrize(
    ("task", "where", "rim", "fill", "other"),
    [
        ("inpaint", "inside", 4, "telea", "push_pull"),
        ("inpaint", "around", 0, "telea", "push_pull"),
        ("outpaint", "beside", 0, "telea", "sideways"),
        ("outpaint", "above", 0, "sideways", "telea"),
    ],
)
def test_the_model_is_shown_the_hole_as_the_rule_has_it(
    task: Task, where: str, rim: int, fill: str, other: str
) -> None:
    editor, picture = tiny_editor(), noisy_rgb(32, 32)
    mask = np.zeros((32, 32), bool)
    mask[HOLES.get(where, HOLES["inside"])] = True
    mask = ~mask if where == "around" else mask
    given = {"right": 8} if task == "outpaint" else {"mask": mask}
    (one,) = editor.plan(EditRequest(task=task, image=picture, **given)).passes
    frame = Frame.cut(np.asarray(picture), mask, Window(0, 0, 32), 32)
    known = editor.runner.known(one, [frame], editor.runner.maps(one.keeping, [frame]))

    @torch.inference_mode()
    def apart(rim: int, fill: str) -> float:
        pixels = frame.grown(rim).filled(fill).pixels[None]
        return float((known.features - editor.model.vqvae.features(to_tensor(pixels))).abs().max())

    assert apart(rim, fill) < 1e-4
    assert apart(4 - rim, fill) > 0.01 and apart(rim, other) > 0.01


def test_models_that_have_foresight_use_it() -> None:
    for task in TASKS:
        assert keeping_of(task, foresight=True).foresight
        assert not keeping_of(task).foresight


def test_detail_is_the_pictures_where_nothing_is_asked_for() -> None:
    for task in TASKS:
        of_picture = task in ("inpaint", "outpaint")
        assert decided(task)[2].detail == ("picture" if of_picture else "model")
        assert decided(task, labelled=True)[2].detail == "model"
        asked = EditOptions(detail="model" if of_picture else "picture")
        assert decided(task, asked)[2].detail == asked.detail


def test_class_edits_have_a_backdrop_of_models_with_foresight() -> None:
    for task in TASKS:
        assert not decided(task)[3]["backdrop"]
    assert decided("edit_class", foresight=True)[3]["backdrop"]
    assert not decided("edit_class", PAPER, foresight=True)[3]["backdrop"]
    assert decided("edit_class", EditOptions(rule="paper", backdrop=True))[3]["backdrop"]


def test_new_scenery_is_drawn_freely_where_it_is_coarse() -> None:
    own = {"top_k": 8, "temperature": 0.7, "guidance": 1.5}
    for task in TASKS:
        scenery, thing = decided(task, own=own, scenery=True), decided(task, own=own)
        assert (scenery != thing) == (task == "generate")
        assert not thing[1].cooling
        assert decided(task, PAPER, own, scenery=True) == decided(task, PAPER, own)
    asked = EditOptions(guidance=3, top_k=9)
    sampling = decided("generate", asked, own, scenery=True)[1]
    assert (sampling.guidance, sampling.top_k, sampling.cooling) == (3, 9, True)
    free = decided("generate", own=own, scenery=True)[1]
    assert (free.guidance, free.schedule, free.top_k, free.top_p) == (1, "constant", 0, 0.9)
    assert free.temperature == 0.4


def test_the_editor_knows_what_scenery_is() -> None:
    def new(label: str, **options: Any) -> Any:
        editor = tiny_editor({"bird": ["boat"]})
        return np.asarray(editor.generate(label, EditOptions(seed=1, **options)).images[0])

    for label in ("hills", "boat"):
        asked = new(label, **SCENERY)
        assert np.array_equal(new(label), asked) == (label == "hills")
        warm = new(label, **SCENERY | {"temperature_schedule": "constant"})
        assert not np.array_equal(warm, asked)


def test_something_is_always_left_to_draw() -> None:
    """With every regenerated scale soft, variations would be all the same."""
    for task in TASKS:
        for scales in (SCALES, (1, 2, 3, 4, 5, 6, 8, 10, 13, 16), (1, 2, 4)):
            for soft in (1, 2, 16):
                keeping, sampling, *_ = decided(task, own={"soft_scales": soft}, scales=scales)
                assert keeping.structure + sampling.soft_scales < len(scales)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("rule", ["default", "paper"])
def test_what_a_request_says_is_done(task: Task, rule: str) -> None:
    asked = {
        "structure": 1, "fill": "none" if rule == "default" else "telea", "grow": 7,
        "blend": "none" if rule == "default" else "membrane", "detail": "picture", "feather": 9,
        "soft_scales": 2, "guidance": 1.5, "guidance_schedule": "falling", "top_k": 11,
        "top_p": 0.7, "temperature": 0.5, "temperature_schedule": "falling",
    }  # fmt: skip
    options = EditOptions(rule=rule, **asked)
    keeping, sampling, finish, chosen = decided(task, options, {"top_k": 20}, scenery=True)
    assert {name: chosen[name] for name in asked} == asked
    assert (keeping.structure, keeping.structure_beside) == (1, 1)
    assert (keeping.fill, keeping.fill_beside) == (asked["fill"],) * 2
    assert (keeping.grow, keeping.grow_around) == (7, 7)
    assert finish == Finish(blend=asked["blend"], detail="picture", feather=9)
    assert sampling == Sampling(
        guidance=1.5, schedule="falling", top_k=11, top_p=0.7, temperature=0.5, cooling=True,
        soft_scales=2,
    )  # fmt: skip


def test_the_models_own_sampling_comes_before_the_tasks() -> None:
    found = decided("edit_class", own={"top_k": 20, "guidance": 3.0})[1]
    assert (found.top_k, found.guidance, found.top_p) == (20, 3.0, 0.95)
    assert decided("inpaint", own={"guidance": 3.0})[1].guidance == 2.0
    cold = [decided(task, own={"temperature": 0.5})[1].temperature for task in TASKS]
    assert cold == [1.0, 1.0, 0.5, 0.5]


def test_a_models_soft_scales_are_for_unlabelled_edits_and_its_schedule_for_labels() -> None:
    own = {"soft_scales": 1, "guidance_schedule": "falling"}
    found = {task: decided(task, own=own)[1] for task in TASKS}
    assert [found[task].soft_scales for task in TASKS] == [1, 1, 0, 0]
    more = [decided(task, own={"soft_scales": 2})[1].soft_scales for task in TASKS]
    assert more == [1, 1, 0, 0]
    assert found["generate"].schedule == found["edit_class"].schedule == "falling"
    paper = decided("edit_class", PAPER, own)[1]
    assert (paper.soft_scales, paper.schedule) == (0, "linear")
    assert decided("inpaint")[1].soft_scales == 0


def test_guidance_and_temperature_go_over_the_scales() -> None:
    linear, constant, falling = (
        Sampling(guidance=4, schedule=name) for name in ("linear", "constant", "falling")
    )
    assert [linear.guidance_at(k, 5) for k in range(5)] == [0, 1, 2, 3, 4]
    assert [constant.guidance_at(k, 5) for k in range(5)] == [4] * 5
    assert [falling.guidance_at(k, 5) for k in range(5)] == [4, 3, 2, 1, 0]
    assert linear.guidance_at(0, 1) == 0, "a single scale"
    cool = Sampling(temperature=0.5, cooling=True)
    assert [cool.at(k, 3).temperature for k in range(3)] == [1, 0.875, 0.5]
    assert linear.at(1, 3) is linear
