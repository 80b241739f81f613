"""A window that is mostly mirror: the same picture as made whole, without the memory."""

from __future__ import annotations

import tracemalloc
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from engine import EditOptions, EditRequest
from engine.arrays import Window
from engine.events import Finished, ScaleDone
from engine.frames import frame
from engine.frames.frame import Frame, _cut, resized
from engine.frames.scaling import enlarged, shrunk
from engine.paint import composite as painting
from engine.paint.composite import composite
from engine.plan.rules import Finish
from tests.tiny import tiny_editor

WINDOWS = [
    ((100, 700, 3), Window(0, -300, 700), 32),
    ((700, 90, 3), Window(-305, 0, 700), 33),
    ((100, 700), Window(-80, -390, 870), 37),
    ((50, 700, 3), Window(-100, -400, 900), 256),  # several times there and back
    ((300, 300, 3), Window(200, -20, 290), 64),
]


def colours(height: int, width: int, seed: int = 0) -> Any:
    """Texture on a gradient, (height, width, 3) uint8."""
    noise = np.random.default_rng(seed).normal(0, 20, (height, width, 3))
    slope = np.linspace(20, 200, width)[None, :, None] + np.linspace(0, 30, height)[:, None, None]
    return np.clip(slope + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("shape", "window", "side"), WINDOWS)
def test_what_is_shrunk_is_the_window_cut_out_and_scaled_down(
    shape: tuple[int, ...], window: Window, side: int
) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    whole = resized(_cut(array, window).astype(np.float32), side)
    np.testing.assert_allclose(shrunk(array, window, side), whole, atol=1e-3)
    mask = array[:, :] > 200
    whole = resized(_cut(mask, window).astype(np.float32), side)
    np.testing.assert_allclose(shrunk(mask, window, side), whole, atol=1e-5)


@pytest.mark.parametrize("side", [32, 64, 700, 701])
@pytest.mark.parametrize("channels", [(), (3,)])
def test_a_part_is_enlarged_as_the_whole_is(side: int, channels: tuple[int, ...]) -> None:
    square = np.random.default_rng(0).random((32, 32, *channels), np.float32) * 255
    whole = cv2.resize(square, (side, side), interpolation=cv2.INTER_CUBIC)
    for rows in (range(side), range(3, 4), range(side // 3, side // 2)):
        part = enlarged(square, side, rows, range(5, side))
        np.testing.assert_allclose(part, whole[rows.start : rows.stop, 5:], atol=1e-3)


def painted(
    canvas: Any,
    mask: Any,
    window: Window,
    *,
    blend: str = "membrane",
    feather: int = 0,
    **more: Any,
) -> tuple[Frame, Any]:
    """A frame, and the canvas after a made-up picture was put under the mask."""
    made = Frame.cut(canvas, mask, window, 64, np.roll(mask, 7, 1))
    picture = colours(64, 64, 5).astype(np.float32)
    after = canvas.copy()
    finish = Finish(blend=blend, detail="model", feather=feather)
    composite(after, mask, made, picture, finish, **more)
    assert np.array_equal(after[~mask], canvas[~mask])
    return made, after


@pytest.mark.parametrize(
    "more",
    [
        {"blend": "none"}, {"feather": 6}, {"rim": 2}, {"behind": True},
        {"behind": True, "feather": 3},
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize(
    ("size", "window"),
    [((60, 400), Window(0, -170, 400)), ((400, 70), Window(-150, -20, 430))],
    ids=["wide", "tall"],
)
def test_in_thin_strips_a_picture_is_painted_as_in_one(
    size: tuple[int, int], window: Window, more: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    canvas, mask = colours(*size), np.zeros(size, bool)
    mask[20:40, 10:50] = mask[10:55, 60:62] = True
    if more.get("behind"):
        more = {**more, "behind": colours(*size, seed=9)}
    whole, expected = painted(canvas, mask, window, **more)
    monkeypatch.setattr(frame, "LARGEST_WHOLE", 100)
    monkeypatch.setattr(painting, "STRIP", 300)
    monkeypatch.setattr(frame, "_cut", None)  # nothing is cut out whole
    strips, found = painted(canvas, mask, window, **more)
    np.testing.assert_allclose(strips.pixels, whole.pixels, atol=1e-3)
    np.testing.assert_allclose(strips.mask, whole.mask, atol=1e-5)
    assert np.array_equal(strips.hole, whole.hole)
    off = abs(found.astype(int) - expected)
    assert off.max() <= 1 and (off > 0).mean() < 1e-3
    assert (found != canvas)[mask].any(axis=1).mean() > 0.9


@pytest.mark.parametrize(
    ("task", "more", "most"),
    [
        ("inpaint", {"detail": "model"}, 150e6),
        ("inpaint", {}, 400e6),  # patches of the picture
        ("edit_class", {"backdrop": True}, 400e6),
    ],
)
def test_a_long_picture_takes_memory_for_what_it_has_only(
    task: str, more: dict[str, Any], most: float
) -> None:
    """Its window has 144 million pixels, of which it has 2.4 million."""
    image = Image.fromarray(colours(200, 12_000))
    mask = np.zeros((200, 12_000), bool)
    mask[95:105] = True
    options = EditOptions(seed=1, feather=2, **more)
    label = 1 if task == "edit_class" else None
    request = EditRequest(task=task, image=image, mask=mask, label=label, options=options)
    editor = tiny_editor()
    assert max(window.side for window in editor.plan(request).windows) == 12_000
    tracemalloc.start()
    try:
        for event in editor.steps(request):
            if isinstance(event, ScaleDone):
                event.previews()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < most
    assert isinstance(event, Finished)
    found = np.asarray(event.result.images[0])
    assert np.array_equal(found[~mask], np.asarray(image)[~mask])
    assert (found != np.asarray(image))[mask].any(axis=1).mean() > 0.9
