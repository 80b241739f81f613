"""Whether a mask holds something that has to go before a thing is put there."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from engine.paint.foreign import holds_something
from engine.request.options import EditOptions
from tests.tiny import tiny_editor

HOLE = np.zeros((120, 160), bool)
HOLE[30:90, 50:110] = True


def sea() -> np.ndarray:
    """A sky that fades towards a horizon, water below, both a little rough."""
    rows = np.linspace(0, 60, 120)[:, None, None]
    picture = np.concatenate([120 + rows, 150 + rows * 0.7, 220 - rows * 0.3], axis=2)
    picture = np.repeat(picture, 160, axis=1)
    picture[70:] = (30, 70, 110)
    return np.clip(picture + np.random.default_rng(0).normal(0, 3, picture.shape), 0, 255).astype(
        np.uint8
    )


def test_sea_and_sky_hold_nothing_that_has_to_go() -> None:
    assert not holds_something(sea(), HOLE)


@pytest.mark.parametrize("colour", [(200, 30, 30), (20, 20, 20), (240, 240, 240)])
def test_a_thing_before_them_does(colour: tuple[int, int, int]) -> None:
    picture = sea()
    picture[45:80, 65:95] = colour
    assert holds_something(picture, HOLE)


def test_what_is_below_the_horizon_is_not_taken_for_what_is_above_it() -> None:
    picture = sea()
    picture[40:55, 65:95] = picture[100:115, 65:95]  # water in the sky
    assert holds_something(picture, HOLE)


def test_a_mask_of_everything_leaves_nothing_to_compare_with() -> None:
    assert holds_something(sea(), np.ones((120, 160), bool))


def edit(picture: np.ndarray, **options: object) -> np.ndarray:
    editor = tiny_editor({"bird": ["boat"]}, foresight=True)
    asked = EditOptions(seed=1, **options)
    return np.asarray(editor.edit_class(Image.fromarray(picture), HOLE, "boat", asked).images[0])


def test_kept_or_new_is_what_shows_around_a_thing_and_automatic_is_one_of_them() -> None:
    kept, new = (edit(sea(), around=around) for around in ("keep", "new"))
    assert not np.array_equal(kept, new)
    assert np.array_equal(edit(sea()), kept)
    busy = sea()
    busy[45:80, 65:95] = (200, 30, 30)
    assert np.array_equal(edit(busy), edit(busy, around="new"))


def test_what_a_thing_leaves_free_is_the_source_to_the_byte() -> None:
    picture = sea()
    kept = edit(picture, around="keep")
    same = (kept == picture).all(axis=2)
    assert same[~HOLE].all()
    new = edit(picture, around="new")
    assert same[HOLE].mean() > 2 * (new == picture).all(axis=2)[HOLE].mean()
