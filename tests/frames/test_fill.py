"""Classical fills."""

from __future__ import annotations

import numpy as np
import pytest

from engine.frames.fill import fill_hole


@pytest.mark.parametrize("method", ["telea", "navier_stokes", "push_pull", "sideways"])
def test_a_deep_hole_in_a_flat_picture_stays_flat(method: str) -> None:
    grey = np.random.default_rng(0).normal(128, 2, (96, 96, 3)).astype(np.float32)
    hole = np.zeros((96, 96), bool)
    hole[:, 24:] = True
    filled = fill_hole(grey, hole, method)
    assert abs(filled[hole].mean() - 128) < 1
    assert np.array_equal(filled[~hole], grey[~hole])
