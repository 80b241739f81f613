"""Things are drawn before a plain ground and cut out of it."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import engine.fast.original
import engine.paint.composite
import engine.paint.ranking
from engine import EditOptions, EditRequest
from engine.arrays import Window
from engine.editor import STAGED, Editor
from engine.errors import RequestError
from engine.events import ScaleDone
from engine.paint.composite import composite
from engine.paint.studio import GREY, cut_out, filled, fitted, ground, middle_hole, staged
from engine.picture.frame import Frame
from engine.plan.plan import plan
from engine.plan.rules import Finish
from tests.machine.test_memory import same
from tests.pictures import noisy_rgb
from tests.tiny import tiny_editor

SIDE = 256
FINISH = Finish(blend="membrane", detail="model", feather=0)
HOLE = np.zeros((SIDE, SIDE), bool)
HOLE[26:230, 26:230] = True
MEMBERS = {"bird": ["boat"]}
MASK = np.zeros((64, 80), bool)
MASK[12:52, 20:60] = True
BAND = np.zeros_like(MASK)
BAND[24:40, 4:76] = True
AROUND = np.ones_like(MASK)
AROUND[10:54, 10:70] = False
THIN = np.zeros_like(MASK)
THIN[12:52, 20:24] = THIN[12:16, 20:60] = True  # a stroke: its frame's middle is known


def disc(radius: int, at: tuple[int, int] = (128, 128)) -> Any:
    """How much of each pixel a disc covers, (SIDE, SIDE, 1)."""
    big = np.zeros((SIDE * 4, SIDE * 4), np.float32)
    cv2.circle(big, (at[0] * 4, at[1] * 4), radius * 4, 1, cv2.FILLED)
    return cv2.resize(big, (SIDE, SIDE), interpolation=cv2.INTER_AREA)[..., None]


def before_ground(cover: Any, colour: tuple[int, int, int], tint: tuple[int, int, int]) -> Any:
    """A thing on a ground to which the model gave a tint inside the hole, and some noise."""
    picture = ground(SIDE)
    picture[HOLE] += tint
    picture += np.random.default_rng(0).normal(0, 2, picture.shape).astype(np.float32)
    return picture * (1 - cover) + np.array(colour, np.float32) * cover


@pytest.mark.parametrize("colour", [(250, 250, 250), (20, 20, 25), (220, 40, 30), (60, 140, 230)])
@pytest.mark.parametrize("tint", [(0, 0, 0), (20, -10, -25)])
def test_a_thing_is_cut_out_with_its_own_colours(colour: Any, tint: Any) -> None:
    cover = disc(70)
    colours, alpha = cut_out(before_ground(cover, colour, tint), HOLE)
    assert (alpha[disc(68)[..., 0] == 1] == 1).all(), "no ground inside"
    assert (alpha[disc(71)[..., 0] == 0] == 0).all(), "no ground around"
    assert np.abs(alpha - cover[..., 0]).mean() < 0.005
    edge = (alpha > 0.2) & (alpha < 1)
    assert edge.any()
    off = np.abs(colours[edge] - colour).mean(axis=0)
    assert off.max() < 12, "no grey shines through at the edge"


@pytest.mark.parametrize(("differs", "opening"), [(0, True), (13, False)])
def test_a_ring_shows_what_is_behind_and_a_grey_eye_does_not(differs: int, opening: bool) -> None:
    inner = disc(20)
    grey = float(GREY + differs)
    picture = before_ground(disc(70), (220, 40, 30), (0, 0, 0)) * (1 - inner) + grey * inner
    _, alpha = cut_out(picture, HOLE)
    assert (alpha[(disc(60) == 1)[..., 0] & (disc(26) == 0)[..., 0]] == 1).all()
    assert (alpha[disc(14)[..., 0] == 1] == (0 if opening else 1)).all()


def test_a_thin_part_of_another_colour_is_kept() -> None:
    picture = before_ground(disc(50, (128, 90)), (240, 120, 160), (0, 0, 0))
    picture[130:200, 126:130] = (60, 40, 30)  # a leg, darker than the ground
    colours, alpha = cut_out(picture, HOLE)
    assert (alpha[150:190, 127:129] > 0.9).all()
    assert np.abs(colours[150:190, 127:129] - (60, 40, 30)).max() < 12


def test_a_bare_ground_holds_no_thing() -> None:
    picture = before_ground(disc(0) * 0, (0, 0, 0), (15, 5, -15))
    _, alpha = cut_out(picture, HOLE)
    assert not alpha.any()


@pytest.mark.parametrize(
    "colour", [(230, 200, 20), (150, 120, 90), (160, 150, 140), (180, 180, 180), (100, 70, 50)]
)
def test_a_thing_as_large_as_its_hole_is_not_taken_for_ground(colour: Any) -> None:
    cover = np.zeros((SIDE, SIDE, 1), np.float32)
    cover[HOLE] = 1
    colours, alpha = cut_out(before_ground(cover, colour, (0, 0, 0)), HOLE)
    assert (alpha[40:216, 40:216] == 1).all()
    assert not alpha[~HOLE].any()
    assert np.abs(colours[40:216, 40:216] - colour).max() < 1


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([32, 64, 96, 256]))
def test_whatever_was_drawn_alpha_stays_in_the_hole_and_in_range(seed: int, side: int) -> None:
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(-40, 300, (4, 4, 3)).astype(np.float32)
    picture = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
    hole = np.zeros((side, side), bool)
    top, left = rng.integers(0, side // 2, 2)
    hole[top : top + rng.integers(1, side), left : left + rng.integers(1, side)] = True
    colours, alpha = cut_out(picture, hole)
    assert colours.shape == (side, side, 3) and alpha.shape == (side, side)
    assert alpha.min() >= 0 and alpha.max() <= 1 and not alpha[~hole].any()
    assert np.isfinite(colours).all()


def test_specks_go_and_holes_are_filled() -> None:
    cut = np.zeros((64, 64), np.uint8)
    cut[10:40, 10:40] = 1
    cut[20:24, 20:24] = 0
    cut[60, 60] = 1
    thing = filled(cut)
    assert thing is not None and thing[22, 22] and not thing[60, 60]
    assert filled(np.eye(3, dtype=np.uint8)) is None


def test_a_frame_in_a_studio_shows_its_backdrop_around_the_thing_at_full_resolution() -> None:
    rng = np.random.default_rng(1)
    behind = rng.integers(0, 255, (512, 512, 3), np.uint8)
    canvas = np.full((512, 512, 3), 77, np.uint8)
    mask = np.zeros((512, 512), bool)
    mask[60:460, 60:460] = True
    frame = staged(Frame.cut(canvas, mask, Window(0, 0, 512), SIDE))
    assert frame.studio and (frame.pixels == GREY).all()
    before = canvas.copy()
    picture = before_ground(disc(60), (220, 40, 30), (8, 0, -8))
    assert composite(canvas, mask, frame, picture, FINISH, behind=behind)
    assert np.array_equal(canvas[~mask], before[~mask])
    assert np.array_equal(canvas[60:100, 60:460], behind[60:100, 60:460])
    assert np.abs(canvas[230:280, 230:280].astype(int) - (220, 40, 30)).mean() < 4


def box(top: int, left: int, bottom: int, right: int) -> Any:
    room = np.zeros((SIDE, SIDE), bool)
    room[top:bottom, left:right] = True
    return room


@pytest.mark.parametrize(
    "room",
    [box(100, 0, 150, SIDE), box(0, 150, SIDE, 200), box(160, 170, 250, 250),
     box(100, 0, 132, SIDE),
     cv2.circle(np.zeros((SIDE, SIDE), np.uint8), (90, 160), 60, 1, cv2.FILLED) > 0],
)  # fmt: skip
def test_a_thing_is_made_small_enough_for_its_mask_and_stands_in_its_middle(room: Any) -> None:
    cover = disc(80)
    colours, alpha = fitted(*cut_out(before_ground(cover, (220, 40, 30), (0, 0, 0)), HOLE), room)
    assert alpha[~room].sum() < 0.03 * alpha.sum(), "all of it, to what a pixel of the search is"
    whole = alpha > 0.5
    rows, columns = np.flatnonzero(whole.any(1)), np.flatnonzero(whole.any(0))
    height, width = rows[-1] + 1 - rows[0], columns[-1] + 1 - columns[0]
    assert abs(height - width) <= 2, "in its own shape"
    free = np.flatnonzero(room.any(1)).size, np.flatnonzero(room.any(0)).size
    assert height > 0.8 * min(*free, 161), "as large as may be"
    middle = (rows.mean(), columns.mean())
    assert np.abs(np.argwhere(room).mean(axis=0) - middle).max() < 6
    near = cv2.dilate(whole.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    assert np.abs(colours[near] - (220, 40, 30)).max() < 30, "also where it is scaled up later"


def test_a_thing_that_fits_stays_as_it_is() -> None:
    drawn = cut_out(before_ground(disc(80, (120, 130)), (220, 40, 30), (0, 0, 0)), HOLE)
    for room in (HOLE, np.zeros_like(HOLE)):
        found = fitted(*drawn, room)
        assert all(np.array_equal(a, b) for a, b in zip(found, drawn, strict=True))


def test_a_thing_stands_where_most_of_it_finds_room_if_nothing_is_large_enough() -> None:
    room = box(0, 20, SIDE, 40) | box(0, 216, SIDE, 236)
    _, alpha = fitted(*cut_out(before_ground(disc(80), (220, 40, 30), (0, 0, 0)), HOLE), room)
    column = np.nonzero(alpha > 0.5)[1].mean()
    assert min(abs(column - 30), abs(column - 226)) < 12


def test_beyond_the_canvas_there_is_no_room() -> None:
    """A mask at the picture's edge is mirrored there in what the model's square shows."""
    canvas = np.full((256, 256, 3), 77, np.uint8)
    mask = np.zeros((256, 256), bool)
    mask[60:200, :70] = True
    frame = staged(Frame.cut(canvas, mask, Window(-93, 2, 256), SIDE))
    picture = before_ground(disc(60), (220, 40, 30), (0, 0, 0))
    composite(canvas, mask, frame, picture, FINISH, behind=np.full_like(canvas, 77))
    red = canvas[..., 0] > 200
    columns = np.flatnonzero(red.any(0))
    assert 0 < columns[0] < 8 and columns[-1] < 70, "whole, and on the canvas"


def test_what_is_hidden_is_no_part_of_the_hole_there() -> None:
    canvas = np.full((64, 64, 3), 77, np.uint8)
    left, right = np.zeros((2, 64, 64), bool)
    left[10:50, 10:30] = right[10:50, 40:60] = True
    frame = Frame.cut(canvas, left, Window(0, 0, 64), 64, right)
    assert frame.hole[20, 50]
    assert np.array_equal(staged(frame).hole, middle_hole(64) == 1)


# When a thing is drawn there.


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
