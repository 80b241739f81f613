"""Things by a click or a box: planted things on a noisy ground."""

from __future__ import annotations

import numpy as np
import pytest

from app import selection
from engine.errors import MaskError

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
