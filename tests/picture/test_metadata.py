"""What a file says about itself survives wherever the other format can hold it."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from engine.picture.files import encode_image, open_image
from engine.picture.metadata import clean_xmp, dpi_of, read_resources, written_resources
from engine.picture.source import Source
from engine.request.pictures import NOTES
from tests.pictures import noisy_rgb

XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><a/></x:xmpmeta>"
IPTC = b"\x1c\x02\x50\x00\x07someone"
HOLDS = {  # what each format can hold of it
    ".png": {"dpi", "xmp", "exif", "iptc"},
    ".jpg": {"dpi", "xmp", "exif", "iptc", "comment"},
    ".tif": {"dpi", "xmp", "exif", "iptc"},
    ".webp": {"dpi", "xmp", "exif"},
    ".avif": {"dpi", "xmp", "exif"},
    ".bmp": {"dpi"},
    ".gif": {"comment"},
}


def told(orientation: int | None = None) -> Image.Exif:
    exif = Image.Exif()
    exif[0x013B], exif[0x8298] = "someone", "CC0"
    inner = exif.get_ifd(0x8769)
    inner[0xA002], inner[0xA003] = 4000, 3000
    inner[0x829A] = 0.01
    exif.get_ifd(0x8825)[1] = "N"
    if orientation:
        exif[0x0112] = orientation
    return exif


def photo() -> bytes:
    body = b"Photoshop 3.0\0" + written_resources({0x0404: IPTC, 0x040C: b"old thumbnail"})
    app13 = b"\xff\xed" + (len(body) + 2).to_bytes(2, "big") + body
    stream = io.BytesIO()
    noisy_rgb(64, 48).save(
        stream, "JPEG", exif=told(), dpi=(300, 300), quality=97, subsampling=0, xmp=XMP,
        extra=app13, comment=b"hello",
    )  # fmt: skip
    return stream.getvalue()


def said(image: Image.Image) -> set[str]:
    """What a picture says, and that it says it rightly."""
    found = set()
    if (dpi := dpi_of(image)) and abs(dpi[0] - 300) < 1:
        found.add("dpi")
    if b"<a/>" in image.info.get("xmp", b""):
        found.add("xmp")
    exif = image.getexif()
    inner = exif.get_ifd(0x8769)
    if exif.get(0x8298) == "CC0" and exif.get(0x013B) == "someone" and 0x829A in inner:
        assert (inner[0xA002], inner[0xA003]) == image.size
        assert exif.get_ifd(0x8825)[1] == "N"
        found.add("exif")
    resources = image.info.get("photoshop", {})
    assert 0x040C not in resources
    if resources.get(0x0404) == IPTC:
        found.add("iptc")
    if image.info.get("comment") == b"hello":
        found.add("comment")
    return found


@pytest.mark.parametrize("second", HOLDS)
@pytest.mark.parametrize("first", HOLDS)
def test_what_two_formats_can_hold_survives_the_way_through_both(first: str, second: str) -> None:
    image = open_image(photo())
    done = Source(image).patch((0, 0, 64, 48), np.zeros((48, 64, 3), np.uint8), np.eye(48, 64) > 0)
    once = open_image(encode_image(done, first))
    assert said(once) == HOLDS[first]
    twice = open_image(encode_image(once, second))
    assert said(twice) == HOLDS[first] & HOLDS[second]


def test_others_read_it_too() -> None:
    image = open_image(photo())
    with Image.open(io.BytesIO(encode_image(image, ".tif"))) as tiff:
        assert tiff.tag_v2[33723] == IPTC and tiff.tag_v2[315] == "someone"  # type: ignore[attr-defined]
        assert 513 not in tiff.tag_v2  # type: ignore[attr-defined]
        assert abs(float(tiff.info["dpi"][0]) - 300) < 1
        assert tiff.info["xmp"] == XMP
    with Image.open(io.BytesIO(encode_image(image, ".jpg"))) as jpeg:
        assert jpeg.info["photoshop"][0x0404] == IPTC
        assert jpeg.info["dpi"] == (300, 300)
    with Image.open(io.BytesIO(encode_image(image, ".png"))) as png:
        assert png.text["XML:com.adobe.xmp"] == XMP.decode()  # type: ignore[attr-defined]


def test_the_tags_of_a_tiff_survive_and_its_layout_does_not() -> None:
    stream = io.BytesIO()
    noisy_rgb(64, 48).save(
        stream, "TIFF", artist="someone", copyright="CC0", description="a scene", dpi=(300, 300)
    )
    for suffix in (".tif", ".png", ".jpg", ".webp"):
        exif = open_image(encode_image(open_image(stream.getvalue()), suffix)).getexif()
        assert (exif[315], exif[33432], exif[270]) == ("someone", "CC0", "a scene"), suffix
        assert not {257, 258, 273, 279} & set(exif), suffix


def test_the_words_in_a_png_survive_in_a_png_and_cannot_pass_for_more() -> None:
    words = PngImagePlugin.PngInfo()
    given = {"parameters": "steps 20", "Title": "höchst – gut", "dpi": "7", "varpaint_deep": "x",
             "varpaint_notes": "y", "icc_profile": "z"}  # fmt: skip
    for key, value in given.items():
        words.add_itxt(key, value)
    stream = io.BytesIO()
    noisy_rgb(8, 8).save(stream, "PNG", pnginfo=words)
    image = open_image(stream.getvalue())
    assert NOTES not in image.info and "icc_profile" not in image.info
    with Image.open(io.BytesIO(encode_image(image, ".png", '{"task": "x"}'))) as back:
        text = back.text  # type: ignore[attr-defined]
        assert (text["parameters"], text["Title"]) == ("steps 20", "höchst – gut")
        assert text["varpaint"] == '{"task": "x"}'


def test_the_thumbnail_of_the_old_picture_does_not_survive() -> None:
    exif = told()
    thumbnail = exif.get_ifd(1)
    thumbnail[0x0103] = 6
    stream = io.BytesIO()
    noisy_rgb(8, 8).save(stream, "JPEG", exif=exif)
    assert not open_image(encode_image(open_image(stream.getvalue()), ".jpg")).getexif().get_ifd(1)


def test_gain_maps_and_thumbnails_leave_the_xmp() -> None:
    xmp = (
        b'<rdf:Description hdrgm:Version="1.0" dc:title="kept" hdrgm:GainMapMax=\'2\'>'
        b"<Container:Directory><rdf:Seq>x</rdf:Seq></Container:Directory>"
        b"<hdrgm:Gamma>1</hdrgm:Gamma><xmp:Thumbnails>old</xmp:Thumbnails><dc:b>kept</dc:b>"
        b"</rdf:Description>"
    )
    clean = clean_xmp(xmp)
    assert clean.count(b"kept") == 2
    for gone in (b"hdrgm", b"Container", b"Thumbnails", b"old"):
        assert gone not in clean


@pytest.mark.parametrize("exif", [b"Exif\0\0" + b"\0" * 8, b"Exif\0\0II*\0\xff\xff\xff\x7f",
                                  b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0"])  # fmt: skip
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_damaged_exif_is_dropped_with_a_note_everywhere(exif: bytes, form: str) -> None:
    stream = io.BytesIO()
    noisy_rgb(16, 12).save(stream, form, exif=exif)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = open_image(stream.getvalue())
        done = open_image(encode_image(image, ".jpg"))
    assert done.size == (16, 12)
    if len(exif) == 14 and form != "PNG":
        assert any("EXIF is damaged" in note for note in image.info[NOTES])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        raw = Image.open(stream)
        assert Source(raw).image.size == (16, 12)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_what_lies_on_its_side_is_turned_once(form: str) -> None:
    stream = io.BytesIO()
    noisy_rgb(16, 12).save(stream, form, exif=told(orientation=6).tobytes())
    image = open_image(stream.getvalue())
    assert image.size == (12, 16)
    back = open_image(encode_image(image, ".jpg"))
    assert back.size == (12, 16)
    assert back.getexif().get_ifd(0x8769)[0xA002] == 12


def test_resources_of_photoshop_are_read_as_written() -> None:
    given = {0x0404: b"odd", 0x0425: b"even"}
    assert read_resources(written_resources(given)) == given
    assert read_resources(b"8BIM\x04") == {} == read_resources(b"")
