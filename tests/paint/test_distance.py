"""How deep in a mask a pixel lies, to the bit."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import pytest

from engine.paint.distance import FARTHEST, depth_in


@pytest.mark.parametrize("towards", [0, np.inf])
def test_it_is_the_root_of_a_whole_number_to_the_last_bit(
    towards: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenCV's own are not: they depend on where in memory the array lies."""
    real = cv2.distanceTransform

    def beside(*given: Any) -> Any:
        """As wrong as it was seen to be."""
        return np.nextafter(real(*given), np.float32(towards))

    monkeypatch.setattr(cv2, "distanceTransform", beside)
    mask = np.zeros((272, 224), bool)
    mask[60:200, 70:180] = True
    mask[100:110, 90:95] = False
    found = depth_in(mask)
    outside = np.argwhere(~mask)
    for y, x in np.argwhere(mask)[::97]:
        nearest = ((outside - (y, x)) ** 2).sum(axis=1).min()
        assert found[y, x] == np.float32(math.sqrt(nearest)), (y, x)
    assert not found[~mask].any()


def test_a_mask_without_an_outside_is_as_deep_as_anything() -> None:
    assert (depth_in(np.ones((5, 7), bool)) == FARTHEST).all()


def test_far_inside_it_is_still_exact() -> None:
    mask = np.ones((3, 1100), bool)
    mask[:, 0] = False
    assert np.array_equal(depth_in(mask)[1, :1024], np.arange(1024, dtype=np.float32))
