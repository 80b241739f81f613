"""The canvas's traps: what the ImageEditor sends, and what must never be sent to it."""

from __future__ import annotations

import base64
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from app import canvas
from engine.errors import MaskError
from tests.app.layers import data_url, layer
from tests.pictures import MODES, noisy_rgb, picture

SIZE = (40, 30)


def test_nothing_painted_is_no_mask() -> None:
    assert canvas.read_mask("", SIZE) is None
    assert canvas.read_mask(layer(size=SIZE), SIZE) is None


@pytest.mark.parametrize("alpha", [1, 127, 255])
def test_whatever_is_painted_counts_however_thin_its_colour(alpha: int) -> None:
    mask = canvas.read_mask(layer((5, 6, 15, 12), size=SIZE, alpha=alpha), SIZE)
    assert mask is not None and mask.getbbox() == (5, 6, 15, 12)
    assert set(np.unique(np.asarray(mask))) == {0, 255}


def test_a_canvas_of_another_size_is_told_in_words() -> None:
    with pytest.raises(MaskError, match=r"800x600 pixels, the picture 40x30"):
        canvas.read_mask(layer(size=(800, 600)), SIZE)


def test_what_is_no_layer_is_told_in_words(tmp_path: Path) -> None:
    broken = base64.b64encode(b"\x89PNG\r\n\x1a\n broken").decode()
    noisy_rgb(*SIZE).save(tmp_path / "a.jpg")
    other = base64.b64encode((tmp_path / "a.jpg").read_bytes()).decode()
    layer_file = tmp_path / "layer.png"
    Image.new("RGBA", SIZE, "red").save(layer_file)
    for sent in (
        f"{canvas.PNG_URL},{broken}", f"{canvas.PNG_URL},????", f"{canvas.PNG_URL},{other}",
        canvas.PNG_URL, f"data:text/html;base64,{broken}", str(layer_file),
        f"{canvas.PNG_URL},{'A' * (canvas.MAX_SENT + 1)}",
    ):  # fmt: skip
        with pytest.raises(MaskError, match="no readable mask"):
            canvas.read_mask(sent, SIZE)


def test_the_composite_is_never_sent_back() -> None:
    mask = Image.new("L", (40, 30), 255)
    assert canvas.editor_value("a.png", mask)["composite"] is None
    assert canvas.editor_value("a.png", None)["layers"] == []
    assert canvas.editor_value("a.png", Image.new("L", (40, 30)))["layers"] == []


def test_a_small_picture_is_shown_as_it_is_and_a_large_one_hardly_changed() -> None:
    small = Image.effect_noise((400, 300), 60).convert("RGB")
    with Image.open(canvas.file_of(canvas.url(small))) as shown:
        assert (shown.format, shown.tobytes()) == ("PNG", small.tobytes())
    y, x = np.mgrid[:800, :900]
    waves = np.stack([x % 256, y % 256, (x + y) % 256], -1).astype(np.uint8)
    with Image.open(canvas.file_of(canvas.url(Image.fromarray(waves)))) as shown:
        assert (shown.format, shown.size) == ("JPEG", (900, 800))
        assert np.abs(np.asarray(shown).astype(int) - waves).mean() < 2


def test_a_mask_put_on_the_canvas_is_read_back_the_same() -> None:
    mask = Image.new("L", SIZE, 0)
    mask.paste(255, (3, 4, 20, 21))
    [shown] = canvas.editor_value("a.png", mask)["layers"]
    back = canvas.read_mask(data_url(shown), SIZE)
    assert back is not None and back.tobytes() == mask.tobytes()


@pytest.mark.parametrize("mode", MODES)
def test_pictures_of_every_mode_are_shown_as_opaque_rgb(mode: str) -> None:
    shown = canvas.proxy(picture(mode, 30, 20))
    assert (shown.mode, shown.size) == ("RGB", (30, 20))


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        ((9000, 900), (2048, 205)),
        ((900, 9000), (205, 2048)),
        ((2048, 2048), (2048, 2048)),
        ((1, 5000), (1, 2048)),
        ((16, 16), (16, 16)),
    ],
)
def test_the_canvas_never_holds_more_than_its_limit(
    size: tuple[int, int], shown: tuple[int, int]
) -> None:
    assert canvas.proxy_size(size) == shown
    assert canvas.proxy(Image.new("RGB", size)).size == shown


def test_a_mask_grows_to_the_pictures_own_size() -> None:
    mask = Image.new("L", (50, 40), 0)
    mask.paste(255, (10, 10, 20, 30))
    full = canvas.full_size(mask, (500, 400))
    assert full.size == (500, 400) and full.getbbox() == (100, 100, 200, 300)
    assert set(np.unique(np.asarray(full))) == {0, 255}


def test_a_single_painted_pixel_survives_the_way_to_full_size() -> None:
    mask = Image.new("L", (50, 40), 0)
    mask.putpixel((7, 9), 255)
    full = canvas.full_size(mask, (300, 240))
    assert full.getpixel((7 * 6 + 3, 9 * 6 + 3)) == 255


def test_invert_grow_shrink_and_clear() -> None:
    mask = Image.new("L", (40, 30), 0)
    mask.paste(255, (10, 10, 25, 20))
    grown = canvas.changed(mask, mask.size, "grow")
    shrunk = canvas.changed(mask, mask.size, "shrink")
    inverted = canvas.changed(mask, mask.size, "invert")
    assert grown is not None and grown.getbbox() == (8, 8, 27, 22)
    assert shrunk is not None and shrunk.getbbox() == (12, 12, 23, 18)
    assert inverted is not None and inverted.getpixel((0, 0)) == 255
    assert inverted.getpixel((12, 12)) == 0
    assert canvas.changed(mask, mask.size, "clear") is None
    everything = canvas.changed(None, (40, 30), "invert")
    assert everything is not None and everything.getbbox() == (0, 0, 40, 30)


def test_an_imported_mask_is_scaled_to_the_canvas(tmp_path: Path) -> None:
    full = Image.new("L", (400, 300), 0)
    full.paste(255, (100, 100, 200, 200))
    full.save(tmp_path / "mask.png")
    mask, doubtful = canvas.imported(tmp_path / "mask.png", (400, 300), (40, 30))
    assert not doubtful
    assert mask.size == (40, 30) and mask.getbbox() == (10, 10, 20, 20)


def test_a_foreign_or_empty_mask_is_refused(tmp_path: Path) -> None:
    Image.new("L", (40, 30), 0).save(tmp_path / "empty.png")
    with pytest.raises(MaskError, match="selects nothing"):
        canvas.imported(tmp_path / "empty.png", (40, 30), (40, 30))
    with pytest.raises(MaskError, match="40x30 pixels, the picture 41x30"):
        canvas.imported(tmp_path / "empty.png", (41, 30), (41, 30))


def test_the_editor_takes_no_streamed_layers() -> None:
    with pytest.raises(gr.Error):
        canvas.mask_editor(None).accept_blobs({"data": {"type": "layer", "index": 5_000_000}})
