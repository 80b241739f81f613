"""The texture of the known area, laid over the hole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.arrays import Mask, Window
from engine.paint.composite import composite
from engine.paint.grain import grain
from engine.picture.frame import Frame
from engine.plan.rules import Finish

SIDE = 160
SOFT, ROUGH = (Finish(blend="membrane", grain=amount, feather=0) for amount in (0.0, 1.0))


def middle(side: int = SIDE) -> Mask:
    hole = np.zeros((side, side), bool)
    hole[side // 4 : -side // 4, side // 4 : -side // 4] = True
    return hole


def noise(level: float, side: int = SIDE) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(0, level, (side, side, 3)).astype(np.float32)


def flat(value: float, side: int = SIDE) -> np.ndarray:
    return np.full((side, side, 3), value, np.float32)


def test_a_smooth_hole_becomes_as_rough_as_its_surroundings() -> None:
    hole = middle()
    added = grain(flat(120) + noise(9), flat(120), ~hole, hole)
    assert not added[~hole].any()
    assert 0.75 * 9 < added[hole].std() < 1.25 * 9
    assert abs(added[hole].mean()) < 0.5, "light and colour stay"


def test_each_part_of_the_hole_takes_after_what_looks_like_it() -> None:
    hole, model = middle(), flat(60)
    model[:, SIDE // 2 :] = 190
    rough = noise(10)
    rough[:, : SIDE // 2] /= 10
    added = grain(model + rough, model, ~hole, hole)
    left, right = hole.copy(), hole.copy()
    left[:, SIDE // 2 - 20 :] = right[:, : SIDE // 2 + 20] = False
    assert added[left].std() < 2.5
    assert added[right].std() > 7


def test_what_has_texture_already_or_looks_like_nothing_around_is_left_alone() -> None:
    hole = middle()
    rough = flat(120) + noise(9)
    assert grain(rough, rough, ~hole, hole)[hole].std() < 4
    strange = np.where(hole[..., None], flat(250), flat(20))
    alike = grain(flat(20) + noise(9), flat(20), ~hole, hole)
    inside = np.zeros_like(hole)
    inside[SIDE // 2 - 10 : SIDE // 2 + 10, SIDE // 2 - 10 : SIDE // 2 + 10] = True
    assert alike[inside].std() > 5
    assert grain(flat(20) + noise(9), strange, ~hole, hole)[inside].std() < 0.5


def test_an_edge_that_happens_to_be_there_is_not_repeated() -> None:
    hole, true = np.zeros_like(middle()), flat(120)
    hole[60:100, 60:100] = True
    true[:, 20:24] = 255
    assert np.abs(grain(true, flat(120), ~hole, hole)).max() < 5


def test_lines_all_over_the_surroundings_are_no_texture() -> None:
    """A drawing's outlines are in every patch that looks like the hole; grass is, too."""
    hole, lined = middle(), flat(120)
    lined[4::24] = 255
    grass = flat(120) + noise(float(lined.std()))
    drawn, grown = (grain(picture, flat(120), ~hole, hole)[hole] for picture in (lined, grass))
    assert drawn.std() < 0.25 * grown.std()


@settings(deadline=None)
@given(side=st.integers(1, 70), seed=st.integers(0, 9), share=st.sampled_from([0.0, 0.3, 1.0]))
def test_any_size_and_any_hole(side: int, seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    hole = np.zeros((side, side), bool)
    size = round(side * share)
    hole[:size, :size] = True
    pixels = rng.uniform(0, 255, (side, side, 3)).astype(np.float32)
    added = grain(pixels, flat(90, side), ~hole, hole)
    assert added.shape == pixels.shape and np.isfinite(added).all()
    assert not added[~hole].any()
    assert np.array_equal(added, grain(pixels, flat(90, side), ~hole, hole))


@pytest.mark.parametrize("side", [48, 64, 100])
def test_texture_comes_at_the_resolution_of_the_picture(side: int) -> None:
    """The model sees 64 px of it; what it makes is scaled up and has no texture of that size."""
    rng = np.random.default_rng(0)
    canvas = np.clip(rng.normal(120, 12, (side, side, 3)), 0, 255).astype(np.uint8)
    mask = middle(side)
    frame = Frame.cut(canvas, mask, Window(0, 0, side), 64)
    soft, rough = canvas.copy(), canvas.copy()
    composite(soft, mask, frame, flat(120, 64), SOFT)
    composite(rough, mask, frame, flat(120, 64), ROUGH)
    assert np.array_equal(rough[~mask], canvas[~mask])
    inner = np.zeros_like(mask)
    inner[side // 3 : -side // 3, side // 3 : -side // 3] = True
    assert soft[inner].std() < 6 and rough[inner].std() > 7


def test_a_small_known_area_lends_less_of_its_texture() -> None:
    rng = np.random.default_rng(0)
    canvas = np.clip(rng.normal(120, 12, (64, 64, 3)), 0, 255).astype(np.uint8)

    def roughness(edge: int) -> float:
        """Of a hole that leaves a square of ``64 - 2 edge`` pixels known, deep inside."""
        mask = np.ones((64, 64), bool)
        mask[edge:-edge, edge:-edge] = False
        frame, painted = Frame.cut(canvas, mask, Window(0, 0, 64), 64), canvas.copy()
        composite(painted, mask, frame, flat(120, 64), ROUGH)
        return float(painted[: edge // 2].std())

    assert roughness(20) < 0.5 * roughness(8)
