"""Which variations are shown first."""

from __future__ import annotations

import numpy as np
import pytest

from engine.paint.ranking import best_first, score, seam
from tests.pictures import noisy_rgb


def box() -> np.ndarray:
    hole = np.zeros((64, 64), bool)
    hole[20:44, 20:44] = True
    return hole


def test_a_seam_is_the_step_across_the_edge_against_its_neighbourhood() -> None:
    picture = np.asarray(noisy_rgb(64, 64)).astype(np.float32)
    seams = [seam(picture, picture + shift, box()) for shift in (0, 20, 60)]
    assert seams[0] == pytest.approx(1, abs=0.15)
    assert seams[0] < seams[1] < seams[2]


def test_what_was_in_the_hole_does_not_count() -> None:
    picture = np.asarray(noisy_rgb(64, 64)).astype(np.float32)
    dirty = np.where(box()[..., None], 0, picture)
    assert seam(dirty, picture, box()) == seam(picture, picture, box())


def test_without_an_edge_there_is_no_seam() -> None:
    picture = np.zeros((16, 16, 3), np.float32)
    for hole in (np.zeros((16, 16), bool), np.ones((16, 16), bool)):
        assert seam(picture, picture + 50, hole) == 1


def test_likely_tokens_and_weak_seams_score_higher() -> None:
    assert score(-2, [1]) > score(-3, [1])
    assert score(-2, [1, 1]) > score(-2, [1, 3])
    assert score(-2, []) == score(-2, [1])
    assert best_first([0.1, 0.5, 0.5, 0.9]) == [3, 1, 2, 0]


def test_with_a_label_tokens_count_that_speak_for_it() -> None:
    assert score(-9, [1], 0.4) > score(-2, [1], 0.2)
    assert score(-9, [1], 0.4) > score(-9, [2], 0.4)
