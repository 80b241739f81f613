"""What the model sees, and how it goes back."""

from __future__ import annotations

import numpy as np
import pytest

from engine.fill import fill_hole, membrane, push_pull
from engine.frame import Frame, fade_in
from engine.windows import Window


def gradient(side: int) -> np.ndarray:
    ramp = np.linspace(40, 200, side, dtype=np.float32)
    return np.repeat(np.repeat(ramp[None, :, None], side, 0), 3, 2)


def hole_in(side: int) -> np.ndarray:
    hole = np.zeros((side, side), bool)
    hole[side // 4 : side // 2, side // 4 : side // 2] = True
    return hole


def test_a_window_of_the_models_own_size_is_cut_pixel_by_pixel() -> None:
    canvas = np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    mask = np.zeros((50, 60), bool)
    mask[20:24, 30:31] = True
    frame = Frame.cut(canvas, mask, Window(10, 5, 32), 32)
    assert np.array_equal(frame.pixels, canvas[5:37, 10:42])
    assert np.array_equal(frame.mask, mask[5:37, 10:42])


def test_beyond_the_canvas_the_picture_is_mirrored() -> None:
    canvas = np.arange(12, dtype=np.uint8).reshape(1, 4, 3).repeat(8, axis=0)
    frame = Frame.cut(canvas, np.zeros((8, 4), bool), Window(-2, 0, 8), 8)
    assert frame.pixels[0, :, 0].tolist() == [3, 0, 0, 3, 6, 9, 9, 6]


def test_the_mask_keeps_its_area_when_it_is_scaled() -> None:
    mask = np.zeros((400, 400), bool)
    mask[:, 100:101] = True
    frame = Frame.cut(np.zeros((400, 400, 3), np.uint8), mask, Window(0, 0, 400), 32)
    assert frame.mask.mean() == pytest.approx(1 / 400, rel=1e-3)
    assert frame.hole.any(axis=1).all(), "a hairline must not vanish"


def test_compositing_writes_under_the_mask_only() -> None:
    canvas = np.random.default_rng(1).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    mask = np.zeros((40, 40), bool)
    mask[5:20, 8:30] = True
    for blend in ("none", "membrane"):
        for feather in (0, 4):
            after = canvas.copy()
            frame = Frame.cut(canvas, mask, Window(0, 0, 40), 32)
            frame.composite(after, mask, np.full((32, 32, 3), 77.0), blend=blend, feather=feather)
            assert np.array_equal(after[~mask], canvas[~mask])
            assert not np.array_equal(after[mask], canvas[mask])


def test_feathering_fades_in_from_the_masks_edge_inward() -> None:
    mask = np.zeros((30, 30), bool)
    mask[5:25, 5:25] = True
    weight = fade_in(mask, (0, 0, 30, 30), 4)
    assert np.all(weight[~mask] == 0)
    row = weight[15, 5:12]
    assert np.all(np.diff(row) >= 0) and 0 < row[0] < 0.5 and row[-1] == 1


@pytest.mark.parametrize("method", ["telea", "navier_stokes", "push_pull", "mean"])
def test_every_fill_removes_what_was_in_the_hole_and_keeps_the_rest(method: str) -> None:
    picture, hole = gradient(64), hole_in(64)
    dirty = picture.copy()
    dirty[hole] = (255, 0, 255)
    filled = fill_hole(dirty, hole, method)
    assert np.allclose(filled[~hole], dirty[~hole])
    assert np.array_equal(filled, fill_hole(picture, hole, method)), "the old pixels leak"
    if method != "mean":
        assert abs(filled - picture)[hole].mean() < 12


def test_push_pull_spreads_a_constant_exactly() -> None:
    weight = np.zeros((37, 37), np.float32)
    weight[3, 4] = 1
    values = np.zeros((37, 37, 3), np.float32)
    values[3, 4] = (1, 2, 3)
    assert np.allclose(push_pull(values, weight), (1, 2, 3), atol=1e-4)


def test_the_membrane_makes_the_hole_meet_its_rim() -> None:
    """A model that is 30 too dark everywhere: the correction at the rim must undo it."""
    known = ~hole_in(64)
    correction = membrane(np.full((64, 64, 3), 30, np.float32), known)
    assert np.all(correction[known] == 0)
    rim = correction[64 // 4, 64 // 4 : 64 // 2]
    assert np.all(abs(rim - 30) < 3)
    assert correction[~known].min() > 0
