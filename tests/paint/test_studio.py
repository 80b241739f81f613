"""Things are drawn before a plain ground and cut out of it."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.arrays import Window
from engine.frames.frame import Frame
from engine.paint.composite import composite
from engine.paint.studio import GREY, cut_out, filled, fitted, ground, middle_hole, staged
from engine.plan.rules import Finish

SIDE = 256
FINISH = Finish(blend="membrane", detail="model", feather=0)
HOLE = np.zeros((SIDE, SIDE), bool)
HOLE[26:230, 26:230] = True


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
