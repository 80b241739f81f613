"""Masks as users give them: what cannot be one is told in one line."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engine.errors import MaskError, RequestError
from engine.request import EditRequest
from engine.request.masks import mask_array
from tests.pictures import noisy_rgb


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.float32])
@pytest.mark.parametrize("shape", [(), (9,), (9, 9, 1), (9, 9, 3)])
def test_a_mask_that_is_not_flat_is_told(dtype: Any, shape: tuple[int, ...]) -> None:
    with pytest.raises(MaskError, match="one channel") as caught:
        mask_array(np.ones(shape, dtype))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", ["U3", "O", "c16", "M8[s]"])
def test_a_mask_of_what_is_no_number_is_told(dtype: str) -> None:
    with pytest.raises(MaskError, match="of numbers or bool"):
        mask_array(np.zeros((3, 3), dtype))


def test_a_boolean_mask_is_taken_as_it_is() -> None:
    mask = np.eye(3, dtype=bool)
    assert mask_array(mask) is mask


def test_a_mask_picture_that_has_no_grey_is_told() -> None:
    with pytest.raises(MaskError, match=r"mode LAB .* give it in mode L"):
        mask_array(Image.new("LAB", (4, 4)))


def test_a_mask_picture_that_ends_too_early_is_told() -> None:
    stream = io.BytesIO()
    noisy_rgb(64, 64).save(stream, "PNG")
    cut_off = Image.open(io.BytesIO(stream.getvalue()[:900]))
    with pytest.raises(MaskError, match="cannot be read"):
        mask_array(cut_off)


def test_a_file_where_a_label_belongs_is_refused_without_its_place_on_the_server() -> None:
    sent = {"path": "/tmp/private/photo.png", "meta": {"_type": "gradio.FileData"}}
    with pytest.raises(RequestError) as told:
        EditRequest(task="edit_class", label=sent)  # type: ignore[arg-type]
    assert str(told.value).startswith("label: ") and "/tmp" not in str(told.value)
