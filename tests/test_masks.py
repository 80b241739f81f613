"""Mask pictures: what is painted is what is regenerated, however it was painted and saved."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageFilter

from engine.picture.files import open_image
from engine.request.masks import mask_array, nothing_in, read_mask

SIZE = (60, 40)
BOX = np.zeros(SIZE[::-1], bool)
BOX[10:30, 15:40] = True
WHITE = Image.fromarray(BOX.astype(np.uint8) * 255)


def on_black(colour: tuple[int, int, int]) -> Image.Image:
    image = Image.new("RGB", SIZE)
    image.paste(colour, (0, 0), WHITE)
    return image


def on_nothing(colour: tuple[int, int, int], ground: tuple[int, int, int]) -> Image.Image:
    image = Image.new("RGBA", SIZE, (*ground, 0))
    image.paste((*colour, 255), (0, 0), WHITE)
    return image


def saved(image: Image.Image, form: str, **options) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return open_image(stream.getvalue())


def keyed(mode: str, key: int | tuple[int, int, int] | bytes) -> Image.Image:
    image = Image.new("L", SIZE, 0)
    image.paste(255 if mode != "black" else 1, (0, 0), WHITE)
    image = image if mode != "RGB" else image.convert("RGB")
    return saved(image, "PNG", transparency=key)


def palette(entries: list[int], transparency: int | bytes | None) -> Image.Image:
    image = Image.new("P", SIZE, 0)
    image.putpalette(entries + [0] * (768 - len(entries)))
    image.paste(1, (0, 0), WHITE)
    options = {} if transparency is None else {"transparency": transparency}
    return saved(image, "PNG", **options)


def stray(alpha: int) -> Image.Image:
    image = Image.merge("RGBA", (WHITE, WHITE, WHITE, Image.new("L", SIZE, 255)))
    image.putpixel((0, 0), (0, 0, 0, alpha))
    return image


def soft_edge() -> Image.Image:
    edge = Image.new("L", SIZE, 0)
    edge.paste(255, (4, 4, SIZE[0] - 4, SIZE[1] - 4))
    edge = edge.filter(ImageFilter.GaussianBlur(2))
    return Image.merge("RGBA", (WHITE, WHITE, WHITE, edge))


PAINTED = {
    "white on black": WHITE,
    "one bit": WHITE.convert("1"),
    "red": on_black((255, 0, 0)),
    "blue": on_black((0, 0, 255)),
    "dark grey": on_black((40, 40, 40)),
    "dark grey, one channel": on_black((40, 40, 40)).convert("L"),
    "white on nothing": on_nothing((255, 255, 255), (255, 255, 255)),
    "black on nothing": on_nothing((0, 0, 0), (0, 0, 0)),
    "red on nothing": on_nothing((255, 0, 0), (0, 0, 0)),
    "grey and alpha": on_nothing((255, 255, 255), (0, 0, 0)).convert("LA"),
    "alpha all opaque": on_black((255, 255, 255)).convert("RGBA"),
    "a stray 254": stray(254),
    "a stray 0": stray(0),
    "a soft edge": soft_edge(),
    "palette, white on nothing": palette([255] * 6, 0),
    "palette, black on nothing": palette([0] * 6, 0),
    "palette, red on nothing": palette([0, 0, 0, 255, 0, 0], 0),
    "palette, a list": palette([255] * 6, bytes([0, 255])),
    "palette without tRNS": palette([0, 0, 0, 255, 255, 255], None),
    "palette, blue on black": palette([0, 0, 0, 0, 0, 255], None),
    "a GIF": saved(WHITE.convert("P"), "GIF"),
    "a GIF on nothing": saved(palette([255] * 6, 0), "GIF", transparency=0),
    "L + tRNS": keyed("L", 0),
    "RGB + tRNS": keyed("RGB", (0, 0, 0)),
    "sixteen bits": Image.fromarray(BOX.astype(np.uint16) * 60_000),
    "a label map of zeros and ones": Image.fromarray(BOX.astype(np.uint8)),
    "floats": Image.fromarray(BOX.astype(np.float32)),
    "a JPEG": saved(WHITE, "JPEG", quality=100),
    "CMYK": WHITE.convert("RGB").convert("CMYK"),
}


@pytest.mark.parametrize("name", PAINTED)
def test_what_is_painted_is_what_is_regenerated(name: str) -> None:
    assert np.array_equal(mask_array(PAINTED[name]), BOX)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_a_stray_value_in_a_black_mask_selects_nothing_and_is_told(mode: str) -> None:
    image = Image.new("L", SIZE)
    image.putpixel((3, 3), 1)
    image = image.convert(mode)
    assert not mask_array(image).any()
    assert "its brightest value is 1 of 255" in nothing_in(image)


def test_an_empty_mask_is_called_empty_and_the_error_says_how_masks_are_read() -> None:
    for empty in (Image.new("L", SIZE), Image.new("RGBA", SIZE), np.zeros(SIZE[::-1], bool)):
        assert not mask_array(empty).any()
        told = nothing_in(empty)
        assert "mask is empty" in told and "any colour on black" in told and "\n" not in told


def test_a_soft_mask_is_cut_at_half_and_says_so() -> None:
    ramp = np.tile(np.linspace(0, 255, 60).astype(np.uint8), (40, 1))
    mask, notes = read_mask(Image.fromarray(ramp))
    assert np.array_equal(mask, ramp >= 128)
    assert "cut at half of its white (127.5 of 255)" in notes[0]
    assert read_mask(WHITE)[1] == ()
    assert read_mask(WHITE.filter(ImageFilter.GaussianBlur(0.5)))[1] == ()


def test_arrays_are_numbers_as_ever() -> None:
    one = np.zeros((4, 4), np.uint8)
    one[1, 1] = 1
    assert mask_array(one).sum() == 1
    one[2, 2] = 255
    assert mask_array(one).sum() == 1
