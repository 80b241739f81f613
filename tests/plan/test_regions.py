"""In which order regions are painted."""

from __future__ import annotations

import numpy as np
import pytest

from engine.errors import MaskError
from engine.plan.regions import painting_order


def strip(begin: int, end: int) -> np.ndarray:
    mask = np.zeros((4, 20), bool)
    mask[:, begin:end] = True
    return mask


def test_larger_regions_come_first_and_equal_ones_as_given() -> None:
    assert painting_order([strip(0, 3), strip(3, 12), strip(12, 15)]) == [1, 0, 2]
    assert painting_order([strip(0, 3)]) == [0]


def test_a_small_region_inside_a_large_one_is_fine_the_reverse_is_not_possible() -> None:
    assert painting_order([strip(2, 4), strip(0, 10)]) == [1, 0]


def test_a_region_that_would_be_hidden_is_an_error() -> None:
    with pytest.raises(MaskError, match="region 2 lies wholly under"):
        painting_order([strip(0, 5), strip(2, 8), strip(4, 9)])
    with pytest.raises(MaskError, match="region 1"):
        painting_order([strip(0, 5), strip(0, 5)])
