"""The levers that a request leaves open, by task."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from engine.arrays import Window
from engine.machine.tensors import to_tensor
from engine.options import EditOptions
from engine.picture.frame import Frame
from engine.plan.rules import SCENERY, rule_for
from engine.request import EditRequest
from tests.pictures import noisy_rgb
from tests.tiny import tiny_editor

SCALES = (1, 2, 4, 8, 16)
TASKS = ("inpaint", "outpaint", "edit_class", "generate")


@pytest.mark.parametrize("task", TASKS)
def test_the_rule_paper_is_the_authors_demo_in_every_lever(task: str) -> None:
    rule = rule_for(task, EditOptions(rule="paper"), SCALES)
    assert rule.paper and not rule.closed_loop and not rule.match_colour
    assert (rule.structure, rule.grow, rule.feather, rule.soft_scales) == (0, 0, 0, 0)
    assert rule.grain == 0
    assert not rule.anchor and rule.half_known == 0
    assert not rule_for(task, EditOptions(rule="paper"), SCALES, foresight=True).foresight
    assert (rule.fill, rule.blend, rule.guidance_schedule) == ("none", "none", "linear")


def test_unlabelled_edits_keep_coarse_scales_and_class_edits_do_not() -> None:
    kept = {task: rule_for(task, EditOptions(), SCALES).structure for task in TASKS}
    assert kept == {"inpaint": 3, "outpaint": 3, "edit_class": 0, "generate": 0}


def test_a_class_edit_around_a_known_middle_extends_the_picture() -> None:
    whole, around = torch.ones(32, 32), torch.ones(32, 32)
    around[8:24, 8:24] = 0
    rule = rule_for("edit_class", EditOptions(), SCALES)
    assert (rule.kept(whole), rule.kept(around)) == (0, 3)
    for options in (EditOptions(structure=1), EditOptions(rule="paper", structure=1)):
        rule = rule_for("edit_class", options, SCALES)
        assert rule.kept(whole) == rule.kept(around) == 1
    for task in ("inpaint", "outpaint", "generate"):
        rule = rule_for(task, EditOptions(), SCALES)
        assert rule.kept(whole) == rule.kept(around) == rule.structure


def test_a_rim_is_not_believed_around_a_hole_but_of_what_the_hole_surrounds() -> None:
    inside, around = np.zeros((2, 32, 32), bool)
    inside[8:24, 8:24] = True
    around[:] = ~inside
    rims = {
        task: (rule.rim(inside), rule.rim(around))
        for task in TASKS
        for rule in [rule_for(task, EditOptions(), SCALES)]
    }
    assert rims == {
        "inpaint": (4, 0), "outpaint": (0, 0), "edit_class": (0, 0), "generate": (0, 0)
    }  # fmt: skip
    asked = rule_for("inpaint", EditOptions(grow=6), SCALES)
    assert asked.rim(inside) == asked.rim(around) == 6
    paper = rule_for("inpaint", EditOptions(rule="paper"), SCALES)
    assert paper.rim(inside) == paper.rim(around) == 0


def test_what_a_hole_is_filled_with_by_task() -> None:
    fills = {task: rule_for(task, EditOptions(), SCALES).fill for task in TASKS}
    assert fills == {
        "inpaint": "telea", "outpaint": "sideways", "edit_class": "push_pull",
        "generate": "push_pull",
    }  # fmt: skip
    beside, above = np.zeros((2, 32, 32), bool)
    beside[:, 20:] = above[:9] = True
    rule = rule_for("outpaint", EditOptions(), SCALES)
    assert (rule.filling(beside), rule.filling(above)) == ("telea", "sideways")
    for options in (EditOptions(fill="mirror"), EditOptions(rule="paper", fill="mirror")):
        rule = rule_for("outpaint", options, SCALES)
        assert rule.filling(beside) == rule.filling(above) == "mirror"
    for task, fill in fills.items():
        if task != "outpaint":
            rule = rule_for(task, EditOptions(), SCALES)
            assert rule.filling(beside) == rule.filling(above) == fill
    assert rule_for("outpaint", EditOptions(rule="paper"), SCALES).filling(beside) == "none"
    assert rule_for("inpaint", EditOptions(fill="mean"), SCALES).fill == "mean"


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
    task: str, where: str, rim: int, fill: str, other: str
) -> None:
    editor, picture = tiny_editor(), noisy_rgb(32, 32)
    mask = np.zeros((32, 32), bool)
    mask[HOLES.get(where, HOLES["inside"])] = True
    mask = ~mask if where == "around" else mask
    given = {"right": 8} if task == "outpaint" else {"mask": mask}
    job = editor.prepare(EditRequest(task=task, image=picture, **given))
    frame = Frame.cut(np.asarray(picture), mask, Window(0, 0, 32), 32)
    known = editor.runner.known(job, [frame], editor.runner.maps(job.rule, [frame]))

    @torch.inference_mode()
    def apart(rim: int, fill: str) -> float:
        pixels = frame.grown(rim).filled(fill).pixels[None]
        return float((known.features - editor.model.vqvae.features(to_tensor(pixels))).abs().max())

    assert apart(rim, fill) < 1e-4
    assert apart(4 - rim, fill) > 0.01 and apart(rim, other) > 0.01


def test_foresight_is_the_default_of_models_that_have_it() -> None:
    for task in TASKS:
        assert rule_for(task, EditOptions(), SCALES, foresight=True).foresight
        assert not rule_for(task, EditOptions(), SCALES).foresight
        assert not rule_for(task, EditOptions(foresight=False), SCALES, foresight=True).foresight


def test_class_edits_have_a_backdrop_of_models_with_foresight_and_no_grain() -> None:
    for task in TASKS:
        rule = rule_for(task, EditOptions(), SCALES, foresight=True)
        assert rule.backdrop == (task == "edit_class")
        assert (rule.grain > 0) == (task in ("inpaint", "outpaint"))
        assert not rule_for(task, EditOptions(), SCALES).backdrop
        assert not rule_for(task, EditOptions(rule="paper"), SCALES, foresight=True).backdrop
        asked = rule_for(task, EditOptions(rule="paper", backdrop=True), SCALES)
        assert asked.backdrop == (task == "edit_class")


def test_new_scenery_is_drawn_freely_where_it_is_coarse() -> None:
    own = {"top_k": 8, "temperature": 0.7, "guidance": 1.5}
    for task in TASKS:
        rule = rule_for(task, EditOptions(), SCALES, own, scenery=True)
        thing = rule_for(task, EditOptions(), SCALES, own)
        assert (rule != thing) == (task == "generate")
        assert thing.temperature_schedule == "constant"
        paper = rule_for(task, EditOptions(rule="paper"), SCALES, own, scenery=True)
        assert paper == rule_for(task, EditOptions(rule="paper"), SCALES, own)
    rule = rule_for("generate", EditOptions(guidance=3, top_k=9), SCALES, own, scenery=True)
    assert (rule.guidance, rule.top_k, rule.temperature_schedule) == (3, 9, "falling")


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
                rule = rule_for(task, EditOptions(), scales, {"soft_scales": soft})
                assert rule.structure + rule.soft_scales < len(scales)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("rule", ["default", "paper"])
def test_what_a_request_says_is_done(task: str, rule: str) -> None:
    asked = {
        "structure": 1, "fill": "mean", "closed_loop": False, "coverage": 0.3, "grow": 7,
        "anchor": rule == "paper", "half_known": 2.5, "foresight": rule == "paper",
        "blend": "multiband", "match_colour": True, "grain": 0.5, "feather": 9, "soft_scales": 2,
        "guidance": 1.5, "guidance_schedule": "cosine", "top_k": 11, "top_p": 0.7,
        "temperature": 0.5, "temperature_schedule": "falling",
    }  # fmt: skip
    found = rule_for(task, EditOptions(rule=rule, **asked), SCALES, {"top_k": 20})
    assert {name: getattr(found, name) for name in asked} == asked


def test_the_models_own_sampling_comes_before_the_tasks() -> None:
    found = rule_for("edit_class", EditOptions(), SCALES, {"top_k": 20, "guidance": 3.0})
    assert (found.top_k, found.guidance, found.top_p) == (20, 3.0, 0.95)
    assert rule_for("inpaint", EditOptions(), SCALES, {"guidance": 3.0}).guidance == 2.0
    cold = [rule_for(task, EditOptions(), SCALES, {"temperature": 0.5}) for task in TASKS]
    assert [rule.temperature for rule in cold] == [1.0, 1.0, 0.5, 0.5]


def test_a_models_soft_scales_are_for_unlabelled_edits_and_its_schedule_for_labels() -> None:
    own = {"soft_scales": 1, "guidance_schedule": "falling"}
    found = {task: rule_for(task, EditOptions(), SCALES, own) for task in TASKS}
    assert [found[task].soft_scales for task in TASKS] == [1, 1, 0, 0]
    more = {task: rule_for(task, EditOptions(), SCALES, {"soft_scales": 2}) for task in TASKS}
    assert [more[task].soft_scales for task in TASKS] == [1, 1, 0, 0]
    assert found["generate"].guidance_schedule == found["edit_class"].guidance_schedule == "falling"
    paper = rule_for("edit_class", EditOptions(rule="paper"), SCALES, own)
    assert (paper.soft_scales, paper.guidance_schedule) == (0, "linear")
    assert rule_for("inpaint", EditOptions(), SCALES).soft_scales == 0
