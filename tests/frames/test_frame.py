"""What the model sees, and how it goes back."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from engine.arrays import Window
from engine.frames.fill import fill_hole, push_pull
from engine.frames.frame import Frame
from engine.paint.blending import across, correction, harmonic
from engine.paint.composite import composite, fade_in
from engine.plan.rules import Finish


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
            after, finish = canvas.copy(), Finish(blend=blend, detail="model", feather=feather)
            frame = Frame.cut(canvas, mask, Window(0, 0, 40), 32)
            assert composite(after, mask, frame, np.full((32, 32, 3), 77.0), finish)
            assert np.array_equal(after[~mask], canvas[~mask])
            assert not np.array_equal(after[mask], canvas[mask])


def test_feathering_fades_in_from_the_masks_edge_inward() -> None:
    mask = np.zeros((30, 30), bool)
    mask[5:25, 5:25] = True
    weight = fade_in(mask, (0, 0, 30, 30), 4)
    assert np.all(weight[~mask] == 0)
    row = weight[15, 5:12]
    assert np.all(np.diff(row) >= 0) and 0 < row[0] < 0.5 and row[-1] == 1


@pytest.mark.parametrize("method", ["telea", "navier_stokes", "push_pull", "sideways"])
def test_every_fill_removes_what_was_in_the_hole_and_keeps_the_rest(method: str) -> None:
    picture, hole = gradient(64), hole_in(64)
    dirty = picture.copy()
    dirty[hole] = (255, 0, 255)
    filled = fill_hole(dirty, hole, method)
    assert np.allclose(filled[~hole], dirty[~hole])
    assert np.array_equal(filled, fill_hole(picture, hole, method)), "the old pixels leak"
    if method != "sideways":
        assert abs(filled - picture)[hole].mean() < 12


def test_sideways_draws_out_the_rows_and_not_what_the_edge_only_touches() -> None:
    rows = np.linspace(20, 220, 40, dtype=np.float32)
    picture = np.broadcast_to(rows[:, None, None], (40, 40, 3)).copy()
    picture[10:20, 18:20] = 255  # a thing at the edge, narrower than half the strip
    picture[:, 3:7] = 0  # another, far from it
    hole = np.zeros((40, 40), bool)
    hole[:, 20:] = True
    hole[35:] = True
    filled = fill_hole(picture, hole, "sideways")
    assert np.allclose(filled[:35, 20:], rows[:35, None, None])
    assert np.isfinite(filled).all() and np.array_equal(filled[~hole], picture[~hole])
    both = np.zeros((40, 40), bool)
    both[:, 15:30] = True
    picture[:, 30:] = 90
    filled = fill_hole(picture, both, "sideways")
    assert np.allclose(filled[2, 16], rows[2]) and np.allclose(filled[2, 28], 90)


def test_push_pull_spreads_a_constant_exactly() -> None:
    weight = np.zeros((37, 37), np.float32)
    weight[3, 4] = 1
    values = np.zeros((37, 37, 3), np.float32)
    values[3, 4] = (1, 2, 3)
    assert np.allclose(push_pull(values, weight), (1, 2, 3), atol=1e-4)


def test_a_corrected_hole_meets_its_rim() -> None:
    """A model that is 30 too dark everywhere: the correction at the rim must undo it."""
    known = ~hole_in(64)
    picture = gradient(64)
    added = correction(picture + 30, picture, known, known)
    assert np.all(added[known] == 0)
    rim = added[64 // 4, 64 // 4 : 64 // 2]
    assert np.all(abs(rim - 30) < 3)
    assert added[~known].min() > 0


def test_nothing_known_or_nothing_missing_needs_no_correction() -> None:
    picture = np.random.default_rng(0).normal(0, 9, (16, 16, 3)).astype(np.float32)
    for known in (np.zeros((16, 16), bool), np.ones((16, 16), bool)):
        assert not correction(picture + 9, picture, known, known).any()


@pytest.mark.parametrize("side", [16, 37, 256])
def test_a_stitch_is_the_harmonic_function_that_it_sees_around_the_hole(side: int) -> None:
    """x^2 - y^2 and a ramp solve Laplace's equation, also in its discrete form."""
    y, x = np.mgrid[:side, :side].astype(np.float32) / side
    truth = np.stack([x * x - y * y, x, 1 - y], axis=2) * 100
    known = ~hole_in(side)
    found = harmonic(np.where(known[..., None], truth, 0).astype(np.float32), known)
    assert abs(found - truth).max() < 0.5


def test_a_stitch_takes_the_models_own_step_at_the_seam_out() -> None:
    """The output meets the known area by itself; from the first pixel inside on it is 40 off."""
    hole, truth = hole_in(64), gradient(64)
    picture = truth + 40.0 * hole[..., None]
    assert np.all((truth - picture)[~hole] == 0) and (across(truth, picture, ~hole) != 0).any()
    mended = picture + harmonic(across(truth, picture, ~hole), ~hole)
    assert abs(mended - truth)[hole].max() < 4
    stitched = abs(picture + correction(truth, picture, ~hole, ~hole) - truth)
    inner = np.zeros_like(hole)
    inner[16 + 1 : 32 - 1, 16 + 1 : 32 - 1] = True
    assert stitched[hole & ~inner].max() < 8 and stitched[inner].max() > 16, "a stitch is narrow"


def test_a_stitch_runs_flat_into_the_border_of_the_frame() -> None:
    known = np.zeros((64, 64), bool)
    known[:, :10] = True
    values = np.where(known[..., None], 20, -500) * np.ones(3, np.float32)
    assert np.allclose(harmonic(values.astype(np.float32), known), 20, atol=0.1)


def test_a_grown_hole_hides_the_rim_but_is_not_painted() -> None:
    canvas = np.full((64, 64, 3), 200, np.uint8)
    mask = hole_in(64)
    disc = np.ones((7, 7), np.uint8)
    halo = cv2.dilate(mask.astype(np.uint8), disc).astype(bool) & ~mask
    canvas[mask] = canvas[halo] = 0  # an object, and a rim of it that the mask misses
    frame = Frame.cut(canvas, mask, Window(0, 0, 64), 64)
    assert frame.filled("push_pull").pixels[mask].max() < 100, "the rim leaks into the fill"
    grown = frame.grown(5)
    assert np.allclose(grown.filled("push_pull").pixels[mask | halo], 200, atol=1)
    assert np.array_equal(grown.mask, frame.mask)


def test_a_rim_that_is_not_believed_does_not_colour_the_hole() -> None:
    canvas = np.full((128, 128, 3), 200, np.uint8)
    mask = hole_in(128)
    halo = cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool) & ~mask
    canvas[halo] = 100
    middle = []
    finish = Finish(blend="membrane", detail="model", feather=0)
    for rim in (0, 4):
        frame, after = Frame.cut(canvas, mask, Window(0, 0, 128), 128), canvas.copy()
        model = np.full((128, 128, 3), 200.0)
        composite(after, mask, frame, model, finish, rim=rim)
        assert np.array_equal(after[~mask], canvas[~mask])
        middle.append(int(after[48, 48, 0]))
        edge = int(after[32, 48, 0])
        assert abs(edge - 100) < 30, "the rim is met all the same"
    assert middle[0] < 190 and middle[1] > middle[0] + 5


def test_what_is_hidden_is_filled_and_not_painted() -> None:
    canvas = np.full((32, 32, 3), 100, np.uint8)
    mask, later = hole_in(32), np.zeros((32, 32), bool)
    later[20:28, 20:28] = True
    canvas[later] = 255
    frame = Frame.cut(canvas, mask, Window(0, 0, 32), 32, later)
    assert np.array_equal(frame.hole, mask | later)
    assert np.allclose(frame.filled("push_pull").pixels, 100, atol=1)
