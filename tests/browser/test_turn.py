"""The canvas turns to another picture: one of its size takes its place, no more."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.browser.window import Window
from tests.pictures import noisy_rgb

pytestmark = pytest.mark.browser

DRAWN = """() => {
    const editor = window.editor, pixels = editor.app.renderer.extract.canvas({
        target: editor.layer_manager.background_layer, resolution: 1,
        frame: new editor.app.screen.constructor(0, 0, editor.width, editor.height) });
    return pixels.toDataURL();
}"""


BARE = "varpaint.shapes.smallMask() === ''"


def drawn(window: Window) -> np.ndarray[Any, Any]:
    """What the canvas shows as its picture, (H, W, 3)."""
    data = base64.b64decode(window.page.evaluate(DRAWN).partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(data)))[..., :3]


def test_pictures_of_one_size_take_each_others_place(
    window: Window, photo: Path, tmp_path: Path
) -> None:
    page = window.page
    window.open_picture(photo)
    with Image.open(photo) as opened:
        before = np.asarray(opened.convert("RGB"))
    assert np.array_equal(drawn(window), before)
    first = page.evaluate("document.querySelector('#canvas').dataset.mount")
    window.stroke((0.2, 0.3), (0.5, 0.6))
    painted = window.mask()
    window.set_variations(1)
    window.run()
    window.press_and_wait("#flip .use")
    with Image.open(io.BytesIO(window.download().read_bytes())) as picture:
        after = np.asarray(picture.convert("RGB"))
    assert np.array_equal(drawn(window), after) and page.evaluate(BARE)
    window.press_and_wait("#undo")
    assert np.array_equal(drawn(window), before) and np.array_equal(window.mask(), painted)
    window.press_and_wait("#redo")
    assert np.array_equal(drawn(window), after) and page.evaluate(BARE)
    noisy_rgb(before.shape[1], before.shape[0], seed=8).save(tmp_path / "other.png")
    version = window.version
    window.choose_file("#open", tmp_path / "other.png")
    window.wait_for_canvas(version + 1)
    assert np.array_equal(drawn(window), np.asarray(Image.open(tmp_path / "other.png")))
    assert page.evaluate("document.querySelector('#canvas').dataset.mount") == first
    noisy_rgb(90, 40).save(tmp_path / "wide.png")
    window.choose_file("#open", tmp_path / "wide.png")
    window.wait_for_canvas(version + 2)
    assert np.array_equal(drawn(window), np.asarray(Image.open(tmp_path / "wide.png")))
    window.press_and_wait("#undo")
    assert np.array_equal(drawn(window), np.asarray(Image.open(tmp_path / "other.png")))


def test_a_picture_of_another_size_is_seen_before_it_can_be_painted(
    window: Window, tmp_path: Path
) -> None:
    page = window.page
    noisy_rgb(400, 300).save(tmp_path / "a.png")
    page.evaluate("""() => {
        window.came = [];
        new MutationObserver((all) => all.forEach((one) => one.addedNodes.forEach((node) => {
            if (node.className === "coming") window.came.push(node.getAttribute("src"));
        }))).observe(document.querySelector("#easel"), { childList: true });
    }""")
    window.open_picture(tmp_path / "a.png")
    assert page.evaluate("window.came.length") == 1
    page.wait_for_selector("#easel > img.coming", state="detached")
