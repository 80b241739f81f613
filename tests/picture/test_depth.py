"""Sixteen bits a channel: in and out, whole outside the mask, or refused in words."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from engine.errors import ImageError
from engine.picture.depth import DEEP, Deep, deep_of, peak_of
from engine.picture.files import encode_image, encoded, open_image
from engine.picture.source import Source, extend, same_outside

SIDE = (40, 50)
BOX = (0, 0, 50, 40)


def values(channels: int, high: int = 65535, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    found = rng.integers(0, high + 1, (*SIDE, channels)).astype(np.uint16)
    found[0, 0] = high
    return found


def hole() -> np.ndarray:
    mask = np.zeros(SIDE, bool)
    mask[10:25, 12:30] = True
    return mask


MODES = {"LA": 2, "RGB": 3, "RGBA": 4}


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("mode", MODES)
def test_a_deep_picture_is_written_as_others_read_it(mode: str, suffix: str) -> None:
    given = values(MODES[mode])
    image = Deep.of(given).picture(mode, {"dpi": (300.0, 300.0)})
    data = encode_image(image, suffix)
    read = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert read.dtype == np.uint16
    assert np.array_equal(read[..., 0], given[..., 0 if mode == "LA" else 2])
    back = open_image(data)
    deep = deep_of(back)
    assert deep is not None
    if mode == "LA" and suffix == ".tif":  # readers know no grey with alpha there
        assert back.mode == "RGBA" and np.array_equal(deep.values[..., [0, 3]], given)
    else:
        assert back.mode == mode and np.array_equal(deep.values, given)
    assert round(back.info["dpi"][0]) == 300


@pytest.mark.parametrize("suffix", [".png", ".tif", ".ppm"])
def test_what_opencv_writes_is_read_whole(suffix: str) -> None:
    given = values(3)
    _, data = cv2.imencode(suffix, given[..., ::-1])
    deep = deep_of(open_image(data.tobytes()))
    assert deep is not None and np.array_equal(deep.values, given)


@pytest.mark.parametrize("mode", MODES)
def test_an_edit_keeps_every_bit_outside_the_mask_and_enters_at_sixteen(mode: str) -> None:
    given = values(MODES[mode])
    source = Source(Deep.of(given).picture(mode, {}))
    result = source.patch(BOX, np.full((*SIDE, 3), 128, np.uint8), hole())
    deep = deep_of(result)
    assert deep is not None
    assert np.array_equal(deep.values[~hole()], given[~hole()])
    assert (deep.values[hole()][:, 0] == 128 * 257).all()
    if mode != "RGB":
        assert (deep.values[hole()][:, -1] == 65535).all()
    assert same_outside(source.image, result, BOX, hole())
    deep.values[0, 3, 0] ^= 1
    assert not same_outside(source.image, result, BOX, hole())


def test_twelve_bits_in_sixteen_are_filled_in_their_own_range() -> None:
    grey = Image.fromarray(values(1, 4095)[..., 0])
    deep = Deep.of(values(3, 4095)).picture("RGB", {})
    for image in (grey, deep):
        source = Source(image)
        assert source.view().max() == 255
        result = source.patch(BOX, np.full((*SIDE, 3), 255, np.uint8), hole())
        found = deep_of(result)
        done = np.asarray(result) if found is None else found.values
        assert (done[hole()] == 4095).all()
    assert [peak_of(high) for high in (0, 200, 1000, 4095, 4096, 65535, 70_000)] == [
        65535, 255, 1023, 4095, 16383, 65535, 70_000,
    ]  # fmt: skip


def test_a_deep_picture_that_was_changed_elsewhere_is_what_it_shows() -> None:
    image = Deep.of(values(3)).picture("RGB", {})
    image.putpixel((3, 3), (1, 2, 3))
    assert deep_of(image) is None
    assert Source(image).view()[3, 3].tolist() == [1, 2, 3]
    assert DEEP not in Source(image).image.info


def test_a_deep_picture_is_extended_with_all_its_bits() -> None:
    given = values(3)
    wide = extend(Source(Deep.of(given).picture("RGB", {})), (5, 0, 7, 3))
    assert wide.deep is not None
    assert np.array_equal(wide.deep.values[:40, 5:55], given)
    assert np.array_equal(wide.deep.values[-1, 5:55], given[-1])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_deep_picture_is_turned_upright_as_any_other(orientation: int) -> None:
    plain = Image.fromarray((values(3) >> 8).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stream = io.BytesIO()
    plain.save(stream, "PNG", exif=exif)
    wanted = np.asarray(open_image(stream.getvalue()))
    deep = Deep.of(np.asarray(plain).astype(np.uint16) * 257)
    assert np.array_equal(deep.turned(orientation).bytes8(), wanted)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_so_is_its_file(suffix: str, orientation: int) -> None:
    deep, exif = Deep.of(values(3)), Image.Exif()
    exif[0x0112] = orientation
    data = encode_image(deep.picture("RGB", {"exif": exif.tobytes()}), suffix)
    back = deep_of(open_image(data))
    assert back is not None and np.array_equal(back.values, deep.turned(orientation).values)
    assert 0x0112 not in open_image(data).getexif()


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".bmp", ".gif", ".avif", ".jp2"])
def test_a_format_of_eight_bits_says_so(suffix: str) -> None:
    made = encoded(Deep.of(values(3)).picture("RGB", {}), suffix)
    assert "8 bits a channel" in made.notes[0]


def test_what_cannot_be_kept_whole_is_refused_in_one_line() -> None:
    given = values(4)
    image = Deep.of(given).picture("RGBA", {})
    data = bytearray(encode_image(image, ".tif"))
    at = data.find(b"\x06\x01\x03\x00\x01\x00\x00\x00")  # photometric interpretation
    data[at + 8] = 5  # CMYK
    data[data.find(b"\x52\x01\x03\x00\x01\x00\x00\x00")] = 0x51  # no extra samples
    with pytest.raises(ImageError, match=r"cannot be (kept whole|read)") as caught:
        open_image(bytes(data))
    assert "\n" not in str(caught.value)


def test_values_beyond_sixteen_bits_are_refused_for_a_png() -> None:
    image = Image.fromarray(np.array([[70_000, 3]], np.int32))
    with pytest.raises(ImageError, match=r"16 bits cannot hold; use \.tif"):
        encode_image(image, ".png")
    assert np.array_equal(np.asarray(open_image(encode_image(image, ".tif"))), np.asarray(image))
