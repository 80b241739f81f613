"""Copies that are made to meet: small steps go, edges that are meant and known pixels stay."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from engine.arrays import Floats
from engine.paint.exemplar.filling import fill
from engine.paint.exemplar.melding import FAR, MEANT, melded, steps


def flat(step: float, width: int = 160) -> tuple[Floats, NDArray[np.bool_]]:
    """Grey of 100 with a hole, the right half of which is brighter by a ``step``."""
    picture = np.full((96, width, 3), 100, np.float32)
    hole = np.zeros(picture.shape[:2], bool)
    hole[24:72, 30 : width - 30] = True
    picture[24:72, width // 2 : width - 30] += step
    return picture, hole


def without_steps(picture: Floats, hole: NDArray[np.bool_]) -> Floats:
    return melded(picture, hole, np.zeros_like(picture), np.zeros_like(picture))


def largest(picture: Floats) -> float:
    return max(float(np.abs(step).max()) for step in steps(picture))


def test_a_step_of_a_few_levels_goes_within_the_hole_and_at_its_edge() -> None:
    picture, hole = flat(6)
    result = without_steps(picture, hole)
    assert largest(picture) == 6
    assert largest(result) < 0.8
    assert (result[~hole] == picture[~hole]).all()


def test_an_edge_that_is_meant_stays() -> None:
    picture, hole = flat(90)
    result = without_steps(picture, hole)
    assert largest(result) > 89


def test_a_wanted_step_is_taken() -> None:
    picture, hole = flat(0)
    down, right = steps(picture)
    right[24:72, 79] = 5
    result = melded(picture, hole, down, right)
    taken = steps(result)[1][48, 79]
    assert taken == pytest.approx(np.full(3, 5), abs=0.5)


def test_nothing_drifts_however_long_a_hole_is() -> None:
    picture = np.full((40, 400, 3), 100, np.float32)
    hole = np.zeros(picture.shape[:2], bool)
    hole[:, 40:] = True
    picture[hole] = 110
    result = without_steps(picture, hole)
    assert np.abs(result[:, 40] - 100).max() < 1.6
    assert np.abs(result[:, 40 + round(5 * FAR) :] - 110).max() < 0.5


def test_what_is_added_is_what_solving_for_all_pixels_at_once_gives() -> None:
    generator = np.random.default_rng(0)
    hole = cv2.GaussianBlur(generator.normal(0, 1, (40, 47)), (0, 0), 4) > 0
    hole[5:35, 20:35] = True
    hole[:, 27] = False  # a line that a coarser picture does not show
    picture = generator.normal(100, 2, (40, 47, 3)).astype(np.float32)
    given = melded(picture, hole, np.zeros_like(picture), np.zeros_like(picture)) - picture
    number = np.full(hole.shape, -1)
    number[hole] = np.arange(hole.sum())
    matrix = np.eye(int(hole.sum())) * FAR**-2
    pull = np.zeros((int(hole.sum()), 3))
    for first, second, step in (
        (number[:-1], number[1:], picture[1:] - picture[:-1]),
        (number[:, :-1], number[:, 1:], picture[:, 1:] - picture[:, :-1]),
    ):
        step = step / (1 + (np.square(step).mean(axis=2, keepdims=True) / MEANT**2) ** 2)
        for one, other, gap in zip(first.ravel(), second.ravel(), step.reshape(-1, 3), strict=True):
            for here, there, sign in ((one, other, 1), (other, one, -1)):
                if here >= 0:
                    matrix[here, here] += 1
                    pull[here] += sign * gap
                    if there >= 0:
                        matrix[here, there] -= 1
    exact = np.linalg.solve(matrix, pull)
    assert np.sqrt(np.square(given[hole] - exact).mean()) < 0.05 * np.sqrt(np.square(exact).mean())


@pytest.mark.parametrize(("size", "allowed"), [(200, 1.4), (760, 0.8)])
def test_light_that_changes_slowly_shows_no_step_in_the_hole_nor_at_its_edge(
    size: int, allowed: float
) -> None:
    y, x = np.mgrid[:size, :size] / size
    light = 70 + 100 * x + 30 * np.sin(5 * y)
    noise = np.random.default_rng(0).normal(0, 2, (size, size, 3))
    picture = np.clip(light[..., None] + noise, 0, 255).round().astype(np.uint8)
    hole = np.zeros((size, size), bool)
    hole[size // 4 : -size // 4, size // 4 : -size // 4] = True
    filled = np.where(hole[..., None], 0, picture).astype(np.uint8)
    for piece in fill(picture, hole, seed=1):
        piece.paste(filled)
    smooth = cv2.GaussianBlur(filled.astype(np.float32), (0, 0), 3).mean(axis=2)
    slopes = np.gradient(smooth)
    assert max(float(np.abs(slope).max()) for slope in slopes) < allowed
