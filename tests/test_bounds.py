"""What an edit takes is known before it runs: its work, its memory, the sides of its picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.limits import USUAL
from engine.errors import ImageError, RequestError
from engine.events import result_of
from engine.paint import canvas
from engine.picture.files import encode_png, open_image
from engine.plan.plan import Plan, plan
from engine.request import EditRequest, Region
from tests.pictures import noisy_rgb
from tests.tiny import tiny_editor

EDITOR = tiny_editor()
SCALES = len(EDITOR.scales)


def planned(task: str, size: tuple[int, int], **more: Any) -> Plan:
    image = Image.new("RGB", size)
    return plan(EditRequest(task=task, image=image, **more), EDITOR.card)


def part(size: tuple[int, int], box: tuple[int, int, int, int]) -> Image.Image:
    mask = Image.new("L", size)
    mask.paste(255, box)
    return mask


def test_a_dot_that_is_to_fill_a_wall_is_refused_by_its_work() -> None:
    wall = planned("outpaint", (1, 1), left=16384, right=16384, options={"variations": 16})
    frames = len(wall.passes[0].windows)
    assert frames > 10_000 and wall.work == frames * 16 * SCALES
    with pytest.raises(RequestError, match=f"{wall.work} scales .* {USUAL.work} is the bound"):
        wall.require(USUAL.work, None)
    wall.require(None, None)


def test_regions_and_candidates_count() -> None:
    size = (200, 40)
    one = planned("inpaint", size, mask=part(size, (10, 10, 20, 20)), options={"candidates": 3})
    assert one.work == 3 * SCALES
    boxes = [(10, 10, 20, 20), (90, 10, 100, 20), (170, 10, 180, 20)]
    regions = tuple(Region(mask=part(size, box), label="bird") for box in boxes)
    three = planned("edit_class", size, regions=regions, options={"variations": 2})
    assert three.work >= 3 * 2 * SCALES


def test_many_variations_of_a_large_extension_are_refused_by_their_memory() -> None:
    large = planned("outpaint", (6000, 6000), right=600, options={"variations": 16})
    with pytest.raises(RequestError, match=r"about \d+\.\d GB, and \d\.\d GB is the bound"):
        large.require(None, USUAL.edit.memory)
    planned("outpaint", (6000, 6000), right=600).require(None, USUAL.edit.memory)
    size = (7900, 5000)
    few = {"mask": part(size, (100, 100, 500, 500)), "options": {"variations": 16}}
    planned("inpaint", size, **few).require(None, USUAL.edit.memory)


def test_an_editor_refuses_before_the_first_scale() -> None:
    request = EditRequest(task="generate", label="bird", options={"variations": 3})
    with pytest.raises(RequestError, match=f"{3 * SCALES} scales"):
        EDITOR.steps(request, work=3 * SCALES - 1)
    assert list(EDITOR.steps(request, work=3 * SCALES))


def test_large_results_are_made_when_they_are_asked_for_and_are_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = noisy_rgb(60, 40)
    request = EditRequest(
        task="inpaint", image=image, mask=part((60, 40), (20, 10, 40, 30)),
        options={"seed": 3, "variations": 4},
    )  # fmt: skip
    held = EDITOR.run(request)
    monkeypatch.setattr(canvas, "LARGE", 0)
    made = result_of(list(EDITOR.steps(request)))
    assert isinstance(held.images, tuple) and not isinstance(made.images, tuple)
    assert len(made.images) == 4 and made.images[-1] is not made.images[-1]
    for one, other in zip(held.images, made.images, strict=True):
        assert np.array_equal(np.asarray(one), np.asarray(other))
    assert [made.png(index) for index in range(4)] == [held.png(index) for index in range(4)]
    assert len(made.images[1:3]) == 2
    with pytest.raises(IndexError):
        made.images[4]


@pytest.mark.parametrize("size", [(1, 65_536), (100_000, 1)])
def test_a_side_beyond_all_measure_is_refused_unread(size: tuple[int, int]) -> None:
    data = encode_png(Image.new("L", size))
    with pytest.raises(ImageError, match="beyond the limit of 65535 for a side"):
        open_image(data)
    with pytest.raises(ImageError, match="for a side"):
        planned("outpaint", (60_000, 1), left=10_000)
    assert open_image(encode_png(Image.new("L", (1, 65_535)))).height == 65_535
