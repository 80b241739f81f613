"""The promise: whatever the picture's mode and depth, a pixel outside the mask keeps its bytes,
through opening, editing and saving in a format without loss."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from engine.picture.depth import Deep, deep_of
from engine.picture.files import encode_image, open_image
from engine.picture.source import Source, same_outside
from tests.picture.test_colour import WIDE
from tests.pictures import MODES, picture

DEEP_MODES = {"LA": 2, "RGB": 3, "RGBA": 4}
KINDS = [*MODES, *(f"deep {mode}" for mode in DEEP_MODES), "RGB+wide", "RGBA+wide"]


def made(kind: str, width: int, height: int, seed: int) -> Image.Image:
    if kind.startswith("deep "):
        mode = kind[5:]
        rng = np.random.default_rng(seed)
        high = int(rng.choice([255, 4095, 65535]))
        shape = (height, width, DEEP_MODES[mode])
        return Deep.of(rng.integers(0, high + 1, shape).astype(np.uint16)).picture(mode, {})
    if kind.endswith("+wide"):
        image = picture(kind[:-5], width, height, seed)
        image.info["icc_profile"] = WIDE["Display P3"]
        return image
    return picture(kind, width, height, seed)


def raw(image: Image.Image) -> np.ndarray:
    """Every bit of a picture's pixels, (H, W, bytes)."""
    deep = deep_of(image)
    values = np.ascontiguousarray(np.asarray(image) if deep is None else deep.values)
    return values.view(np.uint8).reshape(image.height, image.width, -1)


@settings(max_examples=400, deadline=None)
@given(
    kind=st.sampled_from(KINDS), width=st.integers(1, 24), height=st.integers(1, 24),
    seed=st.integers(0, 99), data=st.data(),
)  # fmt: skip
def test_pixels_outside_the_mask_keep_their_bytes(kind, width, height, seed, data) -> None:
    image = made(kind, width, height, seed)
    left, right = sorted(data.draw(st.tuples(*[st.integers(0, width)] * 2)))
    top, bottom = sorted(data.draw(st.tuples(*[st.integers(0, height)] * 2)))
    box = (left, top, right, bottom)
    rng = np.random.default_rng(seed + 1)
    mask = rng.random((bottom - top, right - left)) < rng.random()
    new = rng.integers(0, 256, (*mask.shape, 3), dtype=np.uint8)
    source = Source(image)
    result = source.patch(box, new, mask)
    whole = np.zeros((height, width), bool)
    whole[top:bottom, left:right] = mask
    assert (result.mode, result.size) == (image.mode, image.size)
    assert np.array_equal(raw(result)[~whole], raw(image)[~whole])
    assert same_outside(source.image, result, box, mask)
    suffix = ".tif" if image.mode in ("CMYK", "I", "F") else ".png"
    back = open_image(encode_image(result, suffix))
    if image.mode != "YCbCr":  # no file without loss has it
        assert back.mode == image.mode
        assert np.array_equal(raw(back)[~whole], raw(image)[~whole])


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_picture_shows_put_back_is_nearly_the_picture(kind: str) -> None:
    image = made(kind, 24, 16, 3)
    source = Source(image)
    seen = source.view()
    again = Source(source.patch((0, 0, 24, 16), seen, np.ones((16, 24), bool))).view()
    if "A" in image.mode or "alpha" in kind or "key" in kind:
        return
    limit = {"1": 0, "YCbCr": 4, "RGB+wide": 10}.get(kind, 2)  # dark channels of bright pixels
    assert np.abs(again.astype(int) - seen).max() <= limit
