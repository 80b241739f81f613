"""Files, modes and colour: nothing is lost on the way in or out."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from engine.arrays import to_bytes
from engine.errors import ImageError
from engine.machine.tensors import to_floats, to_tensor
from engine.picture import source as pixels
from engine.picture.files import encode_image, encode_png, open_image, read_request
from engine.picture.source import Source, same_outside, thumbnail
from tests.pictures import MODES, lab_free_profile, noisy_rgb, picture, png_bytes


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that declares a huge picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"hello", "not a picture in a known format"),
        (b"", "not a picture in a known format"),
        (bomb(10_000, 10_000), "beyond the limit of 40 megapixels"),
        (bomb(100_000, 100_000), "beyond the limit of 40 megapixels"),
        (png_bytes(noisy_rgb(64, 64))[:900], "cannot be read"),
    ],
    ids=["text", "nothing", "100 megapixels", "a bomb", "cut off"],
)
def test_what_is_not_a_picture_is_told_in_one_line(data: bytes, message: str) -> None:
    with pytest.raises(ImageError, match=message) as caught:
        open_image(data)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_told(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no such file"):
        open_image(tmp_path / "nope.png")
    with pytest.raises(ImageError, match="is a folder"):
        open_image(tmp_path)


def test_an_unusual_mode_is_told() -> None:
    with pytest.raises(ImageError, match="mode LAB cannot be edited; convert it to RGB"):
        Source(Image.new("LAB", (4, 4)))


@pytest.mark.parametrize("mode", MODES)
def test_new_pixels_look_as_asked_in_every_mode(mode: str) -> None:
    source = Source(picture(mode, 20, 16))
    mask = np.zeros((16, 20), bool)
    mask[4:12, 5:15] = True
    wanted = np.zeros((16, 20, 3), np.uint8)
    wanted[...] = 200 if mode in ("1", "L", "LA", "I", "I;16", "F") else (180, 120, 90)
    result = Source(source.patch((0, 0, 20, 16), wanted, mask))
    shown = result.view()[mask].astype(int)
    allowed = {"1": 60, "P": 60, "P+alpha": 60, "YCbCr": 3, "RGB+icc": 3}.get(mode, 1)
    assert abs(shown - wanted[mask]).max() <= allowed
    if result.image.mode in ("RGBA", "LA"):
        assert (np.asarray(result.image)[..., -1][mask] == 255).all()


def odd_numbers() -> Image.Image:
    """Mode F with what is no number and what is infinite, in its first pixel too."""
    values = np.linspace(0, 0.8, 20 * 16, dtype=np.float32).reshape(16, 20)
    values[0, :3] = values[8, 5:8] = np.nan, np.inf, -np.inf
    values.view(np.uint32)[0, 4] = 0x7FA00001  # a signalling NaN, with a payload
    return Image.fromarray(values)


def test_what_is_no_number_is_shown_black_and_does_not_say_what_white_is() -> None:
    shown = Source(odd_numbers()).view()[..., 0]
    assert shown[0, [0, 1, 2, 4]].tolist() == [0, 255, 0, 0]
    assert abs(int(shown[-1, -1]) - 204) <= 1
    nothing = Image.fromarray(np.full((2, 2), np.nan, np.float32))
    assert not Source(nothing).view().any()


def test_pixels_that_are_no_numbers_are_the_same_to_the_bit() -> None:
    image, box, mask = odd_numbers(), (0, 0, 20, 16), np.zeros((16, 20), bool)
    mask[4:12, 5:15] = True
    wanted = np.full((16, 20, 3), 128, np.uint8)
    result = Source(image).patch(box, wanted, mask)
    assert same_outside(image, result, box, mask)
    other = np.array(result)
    other.view(np.uint32)[0, 4] += 1
    assert not same_outside(image, Image.fromarray(other), box, mask)
    minus = np.array(result)
    assert minus[15, 0] != 0
    minus[15, 0] *= -1
    assert not same_outside(image, Image.fromarray(minus), box, mask)


@pytest.mark.parametrize("band", [1, 50, 10_000])
@pytest.mark.parametrize("mode", MODES)
def test_a_single_pixel_that_changed_outside_the_mask_is_found(
    mode: str, band: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixels, "BAND", band)
    image, box = picture(mode, 20, 16), (3, 2, 17, 14)
    mask = np.zeros((12, 14), bool)
    mask[2:9, 4:11] = True
    values = np.array(image)

    def changed(x: int, y: int) -> Image.Image:
        other, out = values.copy(), image.copy()
        other[y, x] = ~other[y, x] if values.dtype.kind == "b" else other[y, x] + 1
        out.frombytes(np.packbits(other, axis=1).tobytes() if mode == "1" else other.tobytes())
        return out

    assert same_outside(image, image.copy(), box, mask)
    for x, y in ((7, 4), (13, 10)):
        assert same_outside(image, changed(x, y), box, mask)
    for x, y in ((6, 4), (14, 10), (0, 0), (19, 15), (18, 6), (7, 11), (4, 1)):
        assert not same_outside(image, changed(x, y), box, mask), (x, y)


def test_a_part_is_shown_as_the_whole_is() -> None:
    for mode in MODES:
        source = Source(picture(mode, 20, 16))
        if mode == "F":
            continue
        assert np.array_equal(source.view((3, 2, 11, 13)), source.view()[2:13, 3:11]), mode


def test_alpha_is_shown_over_white() -> None:
    clear = Image.new("RGBA", (2, 2), (10, 20, 30, 0))
    assert (Source(clear).view() == 255).all()


@pytest.mark.parametrize("mode", MODES)
def test_a_png_gives_back_the_picture_and_the_request(mode: str) -> None:
    image = picture(mode, 12, 9)
    back = open_image(encode_png(image, '{"task": "inpaint"}'))
    assert read_request(back) == '{"task": "inpaint"}'
    assert back.size == image.size
    if mode not in ("CMYK", "YCbCr", "F"):
        assert np.array_equal(np.asarray(back), np.asarray(image))
        assert back.info.get("icc_profile") == image.info.get("icc_profile")


def test_other_formats_are_saved_and_an_unknown_one_is_told() -> None:
    for suffix, mode in ((".jpg", "RGBA"), (".webp", "RGBA"), (".tif", "CMYK"), (".jpg", "CMYK")):
        data = encode_image(picture(mode, 12, 9), suffix)
        assert open_image(data).size == (12, 9)
    with pytest.raises(ImageError, match=r"cannot save as \.xyz; use \.png"):
        encode_image(noisy_rgb(3, 3), ".xyz")


@pytest.mark.parametrize("suffix", [".webp", ".jpg"])
@pytest.mark.parametrize("mode", ["I;16", "I", "F", "CMYK"])
def test_deep_and_print_pictures_keep_their_look_in_formats_that_have_no_such_mode(
    suffix: str, mode: str
) -> None:
    ramp = np.tile(np.linspace(0, 255, 64), (64, 1))
    image = {
        "I;16": lambda: Image.fromarray((ramp * 257).astype(np.uint16)),
        "I": lambda: Image.fromarray((ramp * 257).astype(np.int32)),
        "F": lambda: Image.fromarray(ramp.astype(np.float32)),
        "CMYK": lambda: Image.fromarray(ramp.astype(np.uint8)).convert("CMYK"),
    }[mode]()
    image.info["icc_profile"] = lab_free_profile()
    back = open_image(encode_image(image, suffix))
    wanted = Source(image).view().astype(int)
    assert np.abs(Source(back).view().astype(int) - wanted).max() < 12
    if suffix == ".webp":
        assert "icc_profile" not in back.info


def test_network_pictures_and_bytes_are_inverse() -> None:
    rgb = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    tensor = to_tensor(rgb)
    assert tensor.shape == (3, 16, 16) and tensor.min() == -1 and tensor.max() == 1
    assert np.array_equal(to_bytes(to_floats(tensor)), rgb)
    assert torch.equal(to_tensor(rgb[None])[0], tensor)


def test_a_thumbnail_fits_and_never_grows() -> None:
    assert thumbnail(noisy_rgb(300, 100), 90).size == (90, 30)
    assert thumbnail(picture("I;16", 300, 100), 90).size == (90, 30)
    assert thumbnail(noisy_rgb(30, 10), 90).size == (30, 10)


def test_the_callers_picture_keeps_its_metadata() -> None:
    image = noisy_rgb(8, 8)
    exif = image.getexif()
    exif[0x0112] = 3
    stream = io.BytesIO()
    image.save(stream, "JPEG", exif=exif)
    stream.seek(0)
    original = Image.open(stream)
    Source(original)
    assert original.getexif()[0x0112] == 3
