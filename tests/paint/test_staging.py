"""When a thing is drawn before a plain ground, and what an edit tells of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import engine.fast.original
import engine.paint.composite
import engine.paint.ranking
from engine import EditOptions, EditRequest
from engine.editor import Editor
from engine.errors import RequestError
from engine.events import ScaleDone
from engine.frames.frame import Frame
from engine.paint.canvas import STAGED
from engine.paint.studio import cut_out
from engine.plan.plan import plan
from tests.machine.test_memory import same
from tests.pictures import noisy_rgb
from tests.tiny import tiny_editor

MEMBERS = {"bird": ["boat"]}
MASK = np.zeros((64, 80), bool)
MASK[12:52, 20:60] = True
BAND = np.zeros_like(MASK)
BAND[24:40, 4:76] = True
AROUND = np.ones_like(MASK)
AROUND[10:54, 10:70] = False
THIN = np.zeros_like(MASK)
THIN[12:52, 20:24] = THIN[12:16, 20:60] = True  # a stroke: its frame's middle is known


def watched(editor: Editor, monkeypatch: pytest.MonkeyPatch) -> list[Frame]:
    """The frames that the model is shown, one after the other, for each run."""
    seen: list[Frame] = []
    run = editor.runner.run

    def watch(one: Any, frames: list[Frame], number: int = 0) -> Any:
        seen.extend(frames)
        return run(one, frames, number)

    monkeypatch.setattr(editor.runner, "run", watch)
    return seen


@pytest.mark.parametrize(
    ("label", "mask", "options", "expected"),
    [
        ("bird", MASK, {}, True),  # stands for things
        ("boat", MASK, {}, True),  # is one
        ("hills", MASK, {}, False),  # is scenery
        ("hills", MASK, {"studio": True}, True),
        ("bird", MASK, {"studio": False}, False),
        ("bird", MASK, {"backdrop": False}, False),
        ("bird", MASK, {"rule": "paper"}, False),
        ("bird", THIN, {}, False),  # a stroke
        ("bird", BAND, {}, True),
        ("bird", AROUND, {}, False),  # extends the picture
    ],
)
def test_things_are_drawn_in_a_studio(
    label: str, mask: Any, options: Any, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor = tiny_editor(MEMBERS, foresight=True)
    seen = watched(editor, monkeypatch)
    editor.edit_class(noisy_rgb(80, 64), mask, label, EditOptions(seed=1, **options))
    assert seen[-1].studio is expected
    assert not any(frame.studio for frame in seen[:-1]), "the backdrop is the picture's"


def test_with_nothing_known_there_is_no_backdrop_and_no_studio(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    editor = tiny_editor(MEMBERS, foresight=True)
    seen = watched(editor, monkeypatch)
    everything = np.ones((64, 80), bool)
    editor.edit_class(noisy_rgb(80, 64), everything, "bird", EditOptions(seed=1))
    assert seen and not any(frame.studio for frame in seen)


def test_models_without_things_have_no_studio_unless_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    editor = tiny_editor(foresight=True)
    seen = watched(editor, monkeypatch)
    editor.edit_class(noisy_rgb(80, 64), MASK, "bird", EditOptions(seed=1))
    assert not any(frame.studio for frame in seen)
    given = {"image": noisy_rgb(80, 64), "mask": MASK, "label": "bird"}
    card = tiny_editor(MEMBERS).card
    (one,) = plan(EditRequest(task="edit_class", **given), card).passes
    assert not one.studio, "no backdrop"
    asked = EditOptions(studio=True, backdrop=True)
    (one,) = plan(EditRequest(task="inpaint", options=asked, **given), card).passes
    assert not one.studio and one.role == "fill"


def test_what_is_drawn_does_not_depend_on_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only on the mask, the label and the seed."""
    drawn: list[Any] = []

    def watch(picture: Any, hole: Any) -> Any:
        drawn.append(picture.copy())
        return cut_out(picture, hole)

    monkeypatch.setattr(engine.paint.composite, "cut_out", watch)
    for seed in (0, 5):
        editor = tiny_editor(MEMBERS, foresight=True)
        editor.edit_class(noisy_rgb(80, 64, seed=seed), MASK, "bird", EditOptions(seed=1))
    assert len(drawn) == 2 and np.array_equal(drawn[0], drawn[1])


@pytest.mark.parametrize("speed", ["exact", "fast"])
def test_variations_are_those_of_their_seeds_alone(speed: Any) -> None:
    def edit(editor: Editor, seed: int, count: int) -> Any:
        options = EditOptions(seed=seed, variations=count, speed=speed)
        return editor.edit_class(noisy_rgb(80, 64), MASK, "bird", options)

    editor = tiny_editor(MEMBERS, foresight=True)
    several = edit(editor, 3, 3)
    assert same(several, edit(editor, 3, 3)), "what is remembered changes nothing"
    for index in range(3):
        alone = edit(tiny_editor(MEMBERS, foresight=True), 3 + index, 1)
        assert np.array_equal(alone.images[0], several.images[index])
    untouched = np.asarray(noisy_rgb(80, 64))[~MASK]
    assert all(np.array_equal(np.asarray(image)[~MASK], untouched) for image in several.images)


def test_regions_are_drawn_in_a_studio_each_by_its_own_label(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    right = np.zeros_like(MASK)
    right[20:40, 62:78] = True
    editor = tiny_editor(MEMBERS, foresight=True)
    seen = watched(editor, monkeypatch)
    editor.run(EditRequest(
        task="edit_class", image=noisy_rgb(80, 64), options=EditOptions(seed=1, variations=2),
        regions=[{"mask": MASK, "label": "hills"}, {"mask": right, "label": "boat"}],
    ))  # fmt: skip
    assert [frame.studio for frame in seen] == [False, False, True], "one plain frame for both"


def studies(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the fast mode computes of whole pictures from now on."""
    found: list[Any] = []
    inner = engine.fast.original.keys_and_values
    monkeypatch.setattr(
        engine.fast.original, "keys_and_values", lambda *a, **k: found.append(a) or inner(*a, **k)
    )
    return found


@pytest.mark.parametrize(("across", "given"), [(32, True), (32, False), (14, True)])
def test_what_the_fast_mode_did_ahead_is_what_an_edit_needs(
    across: int, given: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The picture, for the backdrop and for what is drawn beside a known middle; of a studio, whose
    hole is too large for it, nothing."""
    mask = np.zeros((64, 64), bool)
    mask[16:48, 16 : 16 + across] = True
    request = EditRequest(
        task="edit_class", image=noisy_rgb(64, 64), mask=mask, label="boat",
        options=EditOptions(seed=1, speed="fast", context="whole"),
    )  # fmt: skip
    editor = tiny_editor(MEMBERS, foresight=True)
    done = studies(monkeypatch)
    editor.warm(request if given else request.model_copy(update={"mask": None}))
    assert len(done) == (2 if across == 14 else 1)
    done.clear()
    seen = watched(editor, monkeypatch)
    again = editor.run(request)
    assert seen[-1].studio is (across == 32) and not done
    cold = tiny_editor(MEMBERS, foresight=True).run(request)
    assert done, "the fast mode serves here"
    assert same(again, cold)


@pytest.mark.parametrize("studio", [True, False])
def test_the_best_is_not_judged_by_an_edge_that_is_cut_away(
    studio: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[Any] = []

    def look(*given: Any) -> float:
        looks.append(given)
        return 1.0

    monkeypatch.setattr(engine.paint.ranking, "seam", look)
    editor = tiny_editor(MEMBERS, foresight=True)
    options = EditOptions(seed=1, candidates=3, variations=2, studio=studio)
    result = editor.edit_class(noisy_rgb(80, 64), MASK, "bird", options)
    assert len(looks) == (1 if studio else 4), "one is the backdrop's"
    assert len(result.scores) == 2 and result.scores[0] >= result.scores[1]


def test_a_result_says_where_nothing_was_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(picture: Any, hole: Any) -> Any:
        return picture, np.zeros(hole.shape, np.float32)

    editor = tiny_editor(MEMBERS, foresight=True)
    options = EditOptions(seed=4, variations=2)
    assert not editor.edit_class(noisy_rgb(80, 64), MASK, "bird", options).notes
    monkeypatch.setattr(engine.paint.composite, "cut_out", nothing)
    result = editor.edit_class(noisy_rgb(80, 64), MASK, "bird", options)
    assert [note.split(":")[0] for note in result.notes] == ["seed 4", "seed 5"]
    bare = editor.inpaint(noisy_rgb(80, 64), MASK, options=EditOptions(seed=0))
    assert np.array_equal(result.images[0], bare.images[0])


def test_previews_show_the_thing_before_the_picture() -> None:
    editor = tiny_editor(MEMBERS, foresight=True)
    request = EditRequest(
        task="edit_class", image=noisy_rgb(80, 64), mask=MASK, label="bird",
        options=EditOptions(seed=1, variations=2),
    )  # fmt: skip
    untouched = np.asarray(noisy_rgb(80, 64))[~MASK]
    counts = []
    for step in editor.steps(request):
        if isinstance(step, ScaleDone):
            counts.append(len(step.previews()))
            for shown in step.previews():
                assert np.array_equal(np.asarray(shown)[~MASK], untouched)
    assert counts == [1, 1, 1, 2, 2, 2], "one backdrop for both"


def test_a_studio_without_a_backdrop_is_refused_in_one_line() -> None:
    options = EditOptions(studio=True, backdrop=False)
    with pytest.raises(RequestError, match="set backdrop as well") as caught:
        tiny_editor(MEMBERS).edit_class(noisy_rgb(80, 64), MASK, "bird", options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("lever", ["detail", "blend"])
def test_a_thing_keeps_its_own_surface(lever: str) -> None:
    """So what would change it says nothing, and the result says that."""
    value = {"detail": "picture", "blend": "none"}[lever]
    editor = tiny_editor(MEMBERS, foresight=True)

    def edit(**more: Any) -> Any:
        return editor.edit_class(noisy_rgb(80, 64), MASK, "bird", EditOptions(seed=1, **more))

    found = edit(**{lever: value})
    assert same(edit(), found) and edit().notes == ()
    assert found.notes == (STAGED.format(lever),)
    assert edit(studio=False, **{lever: value}).notes == ()
