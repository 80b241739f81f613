"""Things by a click or a box: planted things on a noisy ground."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from app import selection
from engine.errors import MaskError
from tests.selections import THINGS, measured

SIZE = (180, 240)  # height, width
CENTRE, RADIUS = (90, 150), 40


def scene() -> tuple[selection.Picture, selection.Mask]:
    """A two-coloured disc on green and blue noise, and where the disc is."""
    rng = np.random.default_rng(1)
    y, x = np.indices(SIZE)
    ground = np.stack([60 + 0 * y, 110 + y / 4, 150 - y / 3], 2) + rng.normal(0, 8, (*SIZE, 3))
    disc = (y - CENTRE[0]) ** 2 + (x - CENTRE[1]) ** 2 < RADIUS**2
    ground[disc] = (205, 60, 50)
    ground[disc & (y > CENTRE[0] + 10)] = (230, 200, 70)
    return np.clip(ground, 0, 255).astype(np.uint8), disc


def overlap(one: selection.Mask, two: selection.Mask) -> float:
    return float((one & two).sum() / (one | two).sum())


@pytest.mark.parametrize("row", [CENTRE[0] - 15, CENTRE[0] + 25])
def test_a_click_finds_the_whole_thing_though_it_has_two_colours(row: int) -> None:
    picture, disc = scene()
    found = selection.thing_at(picture, (CENTRE[1] / SIZE[1], row / SIZE[0]))
    assert found.shape == SIZE and overlap(found, disc) > 0.85


def test_a_box_finds_the_thing_inside_it() -> None:
    picture, disc = scene()
    found = selection.thing_in(picture, (0.42, 0.2, 0.84, 0.8))
    assert overlap(found, disc) > 0.85
    turned = selection.thing_in(picture, (0.84, 0.8, 0.42, 0.2))
    assert np.array_equal(found, turned), "a box may be drawn from any corner"


def test_a_click_on_plain_ground_takes_the_ground_and_not_the_thing() -> None:
    picture, disc = scene()
    picture[~disc] = (70, 120, 140)
    found = selection.thing_at(picture, (0.1, 0.1))
    assert overlap(found, ~disc) > 0.9


def test_the_same_click_finds_the_same_thing() -> None:
    picture, _ = scene()
    once, twice = (selection.thing_at(picture, (0.6, 0.45)) for _ in range(2))
    assert np.array_equal(once, twice)


@pytest.mark.parametrize("place", [(0.0, 0.0), (1.0, 1.0), (-0.5, 2.0)])
def test_a_click_at_the_very_edge_is_no_error(place: tuple[float, float]) -> None:
    assert selection.thing_at(scene()[0], place).any()


def test_a_box_too_small_to_hold_anything_is_told_in_words() -> None:
    with pytest.raises(MaskError, match="too small"):
        selection.thing_in(scene()[0], (0.5, 0.5, 0.501, 0.9))


def test_tiny_and_plain_pictures_are_no_error() -> None:
    assert selection.thing_at(np.zeros((1, 1, 3), np.uint8), (0.5, 0.5)).all()
    assert selection.thing_at(np.full((8, 300, 3), 9, np.uint8), (0.5, 0.5)).shape == (8, 300)


# ---- on textured scenery ------------------------------------------------------------------------


def leaves(seed: int = 5, grain: float = 4.0, spread: float = 26.0) -> selection.Picture:
    """Ground of blotches in the browns and greens of a wood, with fine noise on top."""
    rng = np.random.default_rng(seed)
    blotches = cv2.GaussianBlur(rng.normal(0, 1, SIZE).astype(np.float32), (0, 0), grain)
    blotches *= spread / blotches.std()
    ground = np.stack([100 + blotches, 95 + 0.7 * blotches, 55 + 0.4 * blotches], 2)
    return np.clip(ground + rng.normal(0, 8, (*SIZE, 3)), 0, 255).astype(np.uint8)


def furry(picture: selection.Picture) -> tuple[selection.Picture, selection.Mask]:
    """A textured thing of other colours on it."""
    y, x = np.indices(SIZE)
    disc = (y - CENTRE[0]) ** 2 + (x - CENTRE[1]) ** 2 < RADIUS**2
    fur = np.random.default_rng(9).normal((150, 150, 185), 18, (*SIZE, 3))
    picture = picture.copy()
    picture[disc] = np.clip(fur, 0, 255).astype(np.uint8)[disc]
    return picture, disc


@pytest.mark.parametrize("place", [(0.62, 0.5), (0.55, 0.42), (0.72, 0.6)])
def test_a_textured_thing_on_textured_ground_is_found_whole(place: tuple[float, float]) -> None:
    picture, thing = furry(leaves())
    assert overlap(selection.thing_at(picture, place), thing) > 0.8


@pytest.mark.parametrize("place", [(0.1, 0.1), (0.15, 0.6), (0.3, 0.9), (0.9, 0.1)])
@pytest.mark.parametrize("grain", [2.5, 5.0])
def test_a_click_on_textured_ground_leaves_the_thing_out(
    place: tuple[float, float], grain: float
) -> None:
    picture, thing = furry(leaves(grain=grain))
    found = selection.thing_at(picture, place)
    assert (found & thing).sum() < 0.1 * thing.sum()


@pytest.mark.parametrize("place", [(0.2, 0.3), (0.5, 0.5), (0.75, 0.8)])
def test_on_ridges_behind_one_another_a_click_takes_one_and_not_the_landscape(
    place: tuple[float, float],
) -> None:
    """Bands of alike colours, each with texture: GrabCut alone runs from one to the next."""
    rng = np.random.default_rng(4)
    y, x = np.indices(SIZE)
    band = np.clip(((y + 8 * np.sin(x / 30)) / SIZE[0] * 6).astype(int), 0, 5)
    colours = np.array(
        [(200, 205, 215), (165, 170, 175), (140, 135, 120), (110, 100, 80), (85, 75, 60),
         (60, 50, 40)]
    )  # fmt: skip
    picture = np.clip(colours[band] + rng.normal(0, 9, (*SIZE, 3)), 0, 255).astype(np.uint8)
    found = selection.thing_at(picture, place)
    clicked = band == band[round(place[1] * SIZE[0]), round(place[0] * SIZE[1])]
    assert overlap(found, clicked) > 0.7 and found.mean() < 0.3


def test_a_click_on_a_things_eye_finds_the_thing() -> None:
    picture, disc = scene()
    y, x = np.indices(SIZE)
    picture[(y - 80) ** 2 + (x - 140) ** 2 < 5**2] = (15, 15, 20)
    found = selection.thing_at(picture, (140 / SIZE[1], 80 / SIZE[0]))
    assert overlap(found, disc) > 0.8


# ---- on the example pictures -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["airplane", "hedgehog", "penguin"])
def test_wing_tips_and_legs_belong_to_what_a_click_selects(name: str) -> None:
    """Wherever on the thing one clicks: its middle, or its smallest part."""
    thing = THINGS[name]
    some = replace(thing, clicks=[thing.clicks[0], thing.clicks[-1]])
    for place, _, found in measured(some, selection.thing_at):
        assert found.least > 0.95 and found.overlap > 0.9 and found.spill < 0.01, place


def test_a_box_around_a_thing_finds_its_edge() -> None:
    for name in ("airplane", "penguin", "fig"):
        thing = THINGS[name]
        picture = thing.opened()
        height, width = picture.shape[:2]
        corners = np.array(thing.outline)
        (left, top), (right, bottom) = corners.min(axis=0) - 5, corners.max(axis=0) + 5
        box = (left / width, top / height, right / width, bottom / height)
        found = selection.thing_in(picture, box)
        assert overlap(found, thing.mask((height, width))) > 0.9, name


def test_a_click_on_a_thing_too_small_for_the_whole_selects_no_ground() -> None:
    thing = THINGS["bird"]
    for place, _, found in measured(thing, selection.thing_at):
        assert found.overlap > 0.45 and found.spill < 0.01, place
