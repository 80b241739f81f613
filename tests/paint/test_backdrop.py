"""A class edit shows the inpainted hole around what it has drawn."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

import engine.paint.composite
from engine import EditOptions, EditRequest
from engine.arrays import Window
from engine.events import Finished, ScaleDone
from engine.frames.frame import Frame
from engine.paint.backdrop import shares, whole_of
from engine.paint.composite import composite
from engine.plan.rules import Finish
from tests.machine.test_memory import Counter, same
from tests.pictures import noisy_rgb
from tests.tiny import SCALES, tiny_editor

SIDE = 96
HOLE = np.zeros((SIDE, SIDE), bool)
HOLE[20:76, 16:80] = True
MASK = np.zeros((64, 80), bool)
MASK[20:50, 24:60] = True


def flat(*colour: float) -> Any:
    return np.full((SIDE, SIDE, 3), colour, np.float32)


def edit(editor: Any, seed: int = 3, n: int = 1, **more: Any) -> Any:
    options = EditOptions(seed=seed, variations=n, **{"backdrop": True, "detail": "model", **more})
    return editor.edit_class(noisy_rgb(80, 64), MASK, "boat", options)


def test_a_thing_hides_the_backdrop_and_what_is_around_it_does_not() -> None:
    drawn = flat(90, 120, 60)
    drawn[36:60, 36:60] = (220, 40, 30)
    drawn[44:52, 44:52] = (92, 118, 62)  # its eye has the colour of the grass
    share = shares(drawn, flat(95, 118, 64), HOLE)
    assert (share[~HOLE] == 1).all()
    assert (share[22:30, 18:78] > 0.99).all()
    assert (share[38:58, 38:58] == 0).all()
    assert share.min() >= 0 and share.max() <= 1


def haze(thing: tuple[int, int, int], place: slice = slice(30, 62)) -> Any:
    """A thing before sky and land, the land around it hidden by a haze as bright as the sky."""
    rng = np.random.default_rng(0)
    behind = flat(150, 170, 200)
    behind[SIDE // 2 :] = (40, 60, 90)
    behind += rng.normal(0, 12, (SIDE, SIDE, 1)).astype(np.float32)
    drawn = behind.copy()
    drawn[26:70, 22:74] = flat(145, 165, 195)[26:70, 22:74] + rng.normal(0, 12, (44, 52, 1))
    drawn[place, 34:66] = thing
    return drawn, behind


def test_haze_around_a_thing_goes_with_it() -> None:
    drawn, behind = haze((230, 60, 30))
    share = shares(drawn, behind, HOLE)
    assert (share[34:58, 38:62] == 0).all()
    assert (share[67:69, 26:70] > 0.99).all() and (share[52:68, 24:28] > 0.99).all(), "the land"
    assert (share[28:44, 24:28] > 0.99).all(), "the sky"


def test_a_cut_that_leaves_most_of_what_is_unlike_is_not_believed() -> None:
    """It may be the thing that was lost, and not its haze."""
    drawn, behind = haze((230, 60, 30), slice(30, 46))
    assert (shares(drawn, behind, HOLE)[58:66, 40:60] < 0.5).all()


def test_what_is_cut_out_does_not_depend_on_chance() -> None:
    drawn, behind = haze((230, 60, 30))
    found = []
    for seed in (1, 2, 3):
        cv2.setRNGSeed(seed)
        found.append(shares(drawn, behind, HOLE))
    assert all(np.array_equal(found[0], each) for each in found)


def test_what_is_cut_out_is_one_thing_or_none() -> None:
    cut = np.zeros((64, 64), np.uint8)
    cut[20:40, 20:40] = 1
    cut[28:32, 28:32] = 0  # its eye
    cut[50, 50] = 1  # a speck
    cut[24:34, 44:48] = 1  # an arm that a strap cuts off
    whole = whole_of(cut)
    assert whole is not None
    expected = np.zeros((64, 64), bool)
    expected[19:41, 19:41] = expected[23:35, 43:49] = True
    assert np.array_equal(whole, expected)
    cut[44:56, 8:20] = 1  # the eye and the leaf of a flower whose petals were taken for fog
    assert whole_of(cut) is None
    assert whole_of(np.zeros((64, 64), np.uint8)) is None
    assert whole_of(np.eye(8, 64, dtype=np.uint8)) is None, "too small"


def test_a_hole_full_of_something_else_shows_no_backdrop() -> None:
    share = shares(flat(20, 20, 120), flat(230, 220, 210), HOLE)
    assert (share[24:72, 20:76] == 0).all()  # but for the very edge, where it fades


def test_the_backdrop_comes_at_the_sources_resolution() -> None:
    """Byte for byte where nothing is drawn, with detail that the model's square cannot hold."""
    canvas = np.full((256, 256, 3), 128, np.uint8)
    mask = np.zeros((256, 256), bool)
    mask[60:200, 60:200] = True
    behind = canvas.copy()
    behind[::2, ::2] += 6
    model = np.full((64, 64, 3), 128, np.float32)
    model[28:36, 28:36] = (250, 20, 20)
    frame = Frame.cut(canvas, mask, Window(0, 0, 256), 64)
    finish = Finish(blend="membrane", detail="model", feather=0)
    composite(canvas, mask, frame, model, finish, behind=behind)
    assert np.array_equal(canvas[66:80, 66:190], behind[66:80, 66:190])
    assert tuple(canvas[128, 128]) == (250, 20, 20)
    assert (canvas[~mask] == 128).all()


def all_of_it(make):
    """Everything, or nothing, of the hole shows the backdrop."""
    return lambda picture, behind, hole: make(hole.shape)


def test_the_backdrop_is_what_inpainting_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    editor = tiny_editor()
    monkeypatch.setattr(engine.paint.composite, "shares", all_of_it(np.ones))
    options = EditOptions(seed=0, detail="model")
    inpainted = editor.inpaint(noisy_rgb(80, 64), MASK, options=options).images[0]
    for seed in (3, 4):
        assert np.array_equal(edit(editor, seed).images[0], inpainted)
    monkeypatch.setattr(engine.paint.composite, "shares", all_of_it(np.zeros))
    assert same(edit(editor), edit(editor, backdrop=False))


@pytest.mark.parametrize("speed", ["exact", "fast"])
def test_it_is_made_once_and_changes_nothing_for_that(speed: Any) -> None:
    editor = tiny_editor()
    *events, last = editor.steps(EditRequest(
        task="edit_class", image=noisy_rgb(80, 64), mask=MASK, label="boat",
        options=EditOptions(
            seed=3, variations=2, speed=speed, backdrop=True, detail="model"
        ),
    ))  # fmt: skip
    steps = [event for event in events if isinstance(event, ScaleDone)]
    assert [step.index for step in steps] == list(range(2 * len(SCALES)))
    assert isinstance(last, Finished) and steps[-1].frames == 2
    first = last.result
    decoded = Counter(editor.model.vqvae, "decode")
    again = edit(editor, 3, n=2, speed=speed)
    assert same(first, again)
    if speed == "exact":
        assert decoded.calls == 2, "the two variations and nothing else"
    for index in range(2):
        alone = edit(tiny_editor(), 3 + index, speed=speed)
        assert np.array_equal(alone.images[0], first.images[index])


def test_another_mask_or_picture_has_a_backdrop_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All of it the backdrop: what is remembered of one must not serve the other."""
    monkeypatch.setattr(engine.paint.composite, "shares", all_of_it(np.ones))
    editor = tiny_editor()
    edit(editor)
    other = MASK.copy()
    other[30:40, 30:40] = False  # within the same bounds, so it is seen through the same window
    for picture, mask in ((noisy_rgb(80, 64), other), (noisy_rgb(80, 64, seed=5), MASK)):
        options = EditOptions(seed=3, backdrop=True)
        found = editor.edit_class(picture, mask, "boat", options)
        assert same(found, tiny_editor().edit_class(picture, mask, "boat", options))


def test_with_everything_masked_there_is_none() -> None:
    options = EditOptions(seed=3, backdrop=True)
    request = EditRequest(
        task="edit_class", image=noisy_rgb(80, 64), mask=np.ones((64, 80), bool), label="boat",
        options=options,
    )  # fmt: skip
    editor = tiny_editor()
    plan = editor.plan(request)
    assert [one.role for one in plan.passes] == ["fill"] and plan.passes[0].mask.all()
    without = request.model_copy(update={"options": EditOptions(seed=3, backdrop=False)})
    assert same(editor.run(request), editor.run(without))


def two(first: Any, second: Any) -> EditRequest:
    """Two regions; the larger one is painted first."""
    return EditRequest(
        task="edit_class", image=noisy_rgb(80, 64), options=EditOptions(seed=1, backdrop=True),
        regions=[{"mask": first, "label": "boat"}, {"mask": second, "label": "bird"}],
    )  # fmt: skip


def test_regions_have_one_backdrop(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of all of them: none shows what another is to be painted over."""
    editor = tiny_editor()
    right = np.zeros_like(MASK)
    right[10:30, 62:78] = True
    first, *_ = editor.steps(two(MASK, right))
    assert isinstance(first, ScaleDone) and first.frames == 3, "one for both, and one each"
    monkeypatch.setattr(engine.paint.composite, "shares", all_of_it(np.ones))
    both = editor.run(two(MASK, right)).images[0]
    inpainted = editor.inpaint(noisy_rgb(80, 64), MASK | right, options=EditOptions(seed=0))
    assert np.array_equal(both, inpainted.images[0])


def test_a_region_on_another_stands_on_what_was_painted_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    editor = tiny_editor()
    small = np.zeros_like(MASK)
    small[30:40, 34:50] = True
    given: list[Any] = []

    def watch(picture: Any, behind: Any, hole: Any) -> Any:
        given.append(behind)
        return np.zeros(hole.shape, np.float32) if len(given) == 1 else np.ones(hole.shape)

    monkeypatch.setattr(engine.paint.composite, "shares", watch)
    result = editor.run(two(MASK, small))
    assert len(given) == 2
    alone = edit(editor, 1, backdrop=False).images[0]  # the larger one, and nothing else
    assert np.array_equal(np.asarray(result.images[0]), np.asarray(alone))
