"""Colour spaces: told by numbers, honoured on the way in, and given back on the way out."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from engine.picture.colour import PRIMARIES, SRGB_XY, _matrix, fits, made_profile, space_of
from engine.picture.depth import Deep
from engine.picture.files import encode_image, encoded, open_image
from engine.picture.source import Source
from engine.request.pictures import NOTES
from tests.pictures import lab_free_profile

ADOBE = ((0.3127, 0.3290), (0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
PROPHOTO = ((0.3457, 0.3585), (0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001))
WIDE = {
    "Display P3": made_profile(PRIMARIES[12], None),
    "Adobe RGB": made_profile(ADOBE, 2.2),
    "ProPhoto": made_profile(PROPHOTO, 1.8),
    "linear P3": made_profile(PRIMARIES[12], 1.0),
    "Rec. 2020": made_profile(PRIMARIES[9], None),
}


def grey_profile(gamma: float) -> bytes:
    """A profile for grey pictures, of one gamma."""
    whole = bytearray(made_profile(SRGB_XY, gamma))
    whole[16:20] = b"GRAY"
    return bytes(whole.replace(b"rTRC", b"kTRC"))


def filled(image: Image.Image, mask: np.ndarray, rgb: np.ndarray) -> Image.Image:
    return Source(image).patch((0, 0, *image.size), rgb, mask)


def hole() -> np.ndarray:
    mask = np.zeros((60, 80), bool)
    mask[20:40, 30:50] = True
    return mask


def test_a_made_profile_is_one_that_littlecms_reads_as_we_do() -> None:
    rng = np.random.default_rng(0)
    for name, icc in WIDE.items():
        space = space_of(icc, "RGB")
        assert space is not None and space.matrix is not None, name
        own = rng.integers(0, 256, (500, 1, 3), dtype=np.uint8)
        theirs = np.asarray(space.seen(Image.fromarray(own))).astype(int)
        assert np.abs(space.matrix.seen(own / 255) - theirs).max() <= 2, name
        back = np.rint(space.matrix.own(theirs[:, 0].astype(np.uint8)) * 255)
        assert np.abs(back - space.own(theirs[:, 0].astype(np.uint8))).max() <= 2, name


@pytest.mark.parametrize("name", WIDE)
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_colour_that_srgb_has_not_comes_back_with_its_surroundings(name: str, mode: str) -> None:
    rng = np.random.default_rng(1)
    own = np.clip(np.array([20, 224, 29]) + rng.normal(0, 2, (60, 80, 3)), 0, 255)
    image = Image.fromarray(own.astype(np.uint8)).convert(mode)
    image.info["icc_profile"] = WIDE[name]
    seen = Source(image).view()
    done = np.asarray(filled(image, hole(), seen).convert("RGB")).astype(float)
    off = np.abs(done[hole()].mean(0) - own[~hole()].mean(0)).max()
    assert off < 2, (off, "of what sRGB has not, nothing is lost")


def test_colours_that_srgb_has_are_not_touched_by_those_that_it_has_not() -> None:
    own = np.zeros((60, 80, 3), np.uint8)
    own[:, :40], own[:, 40:] = (20, 224, 29), (128, 110, 120)
    image = Image.fromarray(own)
    image.info["icc_profile"] = WIDE["Display P3"]
    seen = Source(image).view()
    done = np.asarray(filled(image, hole(), seen)).astype(int)
    assert np.abs(done - own).max() <= 2
    new = np.full_like(seen, 0)
    new[...] = (200, 60, 40)  # near none of the picture's: as its profile says
    space = space_of(WIDE["Display P3"], "RGB")
    assert space is not None
    wanted = space.own(new[hole()][:1])[0].astype(int)
    assert np.abs(np.asarray(filled(image, hole(), new))[hole()].astype(int) - wanted).max() <= 1


def test_profiles_are_told_by_their_numbers() -> None:
    assert space_of(lab_free_profile(), "RGB") is None  # sRGB under another name
    linear = bytes(made_profile(SRGB_XY, 1.0)).replace(
        "as the file's numbers say".encode("utf-16-be"),
        "sRGB built-in linear prof".encode("utf-16-be"),
    )
    profile = ImageCms.ImageCmsProfile(io.BytesIO(linear))
    assert "sRGB" in ImageCms.getProfileDescription(profile)
    assert space_of(linear, "RGB") is not None


@pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
def test_a_grey_profile_is_honoured(mode: str) -> None:
    if mode == "I;16":
        values = np.full((60, 80), 14_000, np.uint16)
        values[0, 0] = 65535
        image = Image.fromarray(values)
    else:
        image = Image.new("L", (80, 60), 55).convert(mode)
    image.info["icc_profile"] = grey_profile(1.0)
    seen = Source(image).view()
    assert 120 < np.median(seen) < 135  # a fifth of the light
    done = filled(image, hole(), np.full_like(seen, int(np.median(seen))))
    before, after = np.asarray(image).astype(int), np.asarray(done).astype(int)
    assert np.abs(after - before)[hole()].max() <= (200 if mode == "I;16" else 1)


@pytest.mark.parametrize(("mode", "suffix"), [
    ("L", ".webp"), ("LA", ".webp"), ("L", ".avif"), ("L", ".bmp"), ("LA", ".png"), ("L", ".jpg"),
])  # fmt: skip
def test_grey_profiles_are_never_on_rgb_files_and_are_converted_first(mode, suffix) -> None:
    image = Image.new("L", (80, 60), 55).convert(mode)
    image.info["icc_profile"] = grey_profile(1.0)
    back = open_image(encode_image(image, suffix))
    assert NOTES not in back.info
    with Image.open(io.BytesIO(encode_image(image, suffix))) as saved:
        icc = saved.info.get("icc_profile")
        assert icc is None or fits(icc, saved.mode)
    assert np.abs(Source(back).view().astype(int) - Source(image).view()).max() <= 4


@pytest.mark.parametrize("suffix", [".gif", ".bmp", ".tga", ".ppm", ".jp2"])
def test_a_profile_that_a_format_cannot_hold_is_converted_first(suffix: str) -> None:
    image = Image.new("RGB", (80, 60), (90, 120, 150))
    image.info["icc_profile"] = WIDE["ProPhoto"]
    back = open_image(encode_image(image, suffix))
    assert "icc_profile" not in back.info
    assert np.abs(Source(back).view().astype(int) - Source(image).view()).max() <= 3


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".tif", ".png"])
def test_a_palette_with_a_profile_keeps_its_look(suffix: str) -> None:
    image = Image.new("RGB", (80, 60), (90, 160, 110)).quantize(4)
    image.info["icc_profile"] = WIDE["ProPhoto"]
    assert (Source(image).view()[0, 0] != (90, 160, 110)).any()
    back = open_image(encode_image(image, suffix))
    assert np.abs(Source(back).view().astype(int) - Source(image).view()).max() <= 4
    same = filled(image, hole(), Source(image).view())
    assert np.array_equal(np.asarray(same), np.asarray(image))


def test_a_profile_for_another_kind_of_picture_is_dropped_with_a_note() -> None:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "PNG", icc_profile=grey_profile(2.2))
    image = open_image(stream.getvalue())
    assert "icc_profile" not in image.info
    assert "not one for RGB" in image.info[NOTES][0]
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "PNG", icc_profile=b"nonsense" * 30)
    assert "damaged" in open_image(stream.getvalue()).info[NOTES][0]


def png_with(*chunks: tuple[bytes, bytes]) -> bytes:
    info = PngImagePlugin.PngInfo()
    for name, body in chunks:
        info.add(name, body)
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), (20, 200, 40)).save(stream, "PNG", pnginfo=info)
    return stream.getvalue()


P3_CHRM = struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)


@pytest.mark.parametrize("chunks", [
    [(b"cHRM", P3_CHRM), (b"gAMA", struct.pack(">I", 45455))],
    [(b"cICP", bytes([12, 13, 0, 1]))],
    [(b"gAMA", struct.pack(">I", 100_000))],
])  # fmt: skip
def test_the_colours_that_a_png_says_by_numbers_are_honoured_and_kept(chunks) -> None:
    image = open_image(png_with(*chunks))
    shown = Source(image).view()[0, 0].astype(int)
    assert np.abs(shown - (20, 200, 40)).max() > 5
    for suffix in (".png", ".jpg", ".webp", ".tif", ".bmp"):
        back = open_image(encode_image(image, suffix))
        assert np.abs(Source(back).view()[0, 0] - shown).max() <= 3, suffix


def test_numbers_that_say_srgb_change_nothing_and_are_kept() -> None:
    chunk = (b"gAMA", struct.pack(">I", 45455))
    image = open_image(png_with(chunk))
    assert "icc_profile" not in image.info
    assert (Source(image).view() == (20, 200, 40)).all()
    assert b"gAMA" + chunk[1] in encode_image(image, ".png")


def test_hdr_is_edited_as_its_numbers_are_with_a_note() -> None:
    image = open_image(png_with((b"cICP", bytes([9, 16, 0, 1]))))
    assert "HDR" in image.info[NOTES][0]
    assert b"cICP\x09\x10\x00\x01" in encode_image(image, ".png")


def test_sixteen_bits_in_a_linear_profile_keep_their_darks() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(200, 260, (60, 80, 3)).astype(np.uint16)
    values[0, 0] = 65535
    image = Deep.of(values).picture("RGB", {"icc_profile": WIDE["linear P3"]})
    seen = Source(image).view()
    assert 8 < seen[hole()].mean() < 14
    done = Source(image).patch((0, 0, 80, 60), seen, hole()).info["varpaint_deep"].values
    assert abs(done[hole()].mean() - 230) < 10
    assert np.array_equal(done[~hole()], values[~hole()])


def test_a_profile_without_a_matrix_has_none_of_ours() -> None:
    assert _matrix(b"\0" * 200) is None
    assert encoded(Image.new("RGB", (4, 4)), ".png").notes == ()
