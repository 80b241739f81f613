"""Opening: the first frame, cut files, what is not meant, and how well a file was compressed."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.errors import ImageError, RequestError
from engine.picture.files import check_output, encode_image, encoded, open_image, targets
from engine.picture.source import Source
from engine.request.pictures import NOTES
from tests.pictures import noisy_rgb, png_bytes


def frames(form: str, count: int = 3) -> bytes:
    stream = io.BytesIO()
    first, *others = (noisy_rgb(64, 48, seed) for seed in range(count))
    first.save(stream, form, save_all=True, append_images=others)
    return stream.getvalue()


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "MPO", "TIFF"])
def test_of_several_frames_the_first_is_edited_with_a_note(form: str, tmp_path: Path) -> None:
    image = open_image(frames(form))
    assert "the first of 3 frames" in image.info[NOTES][0]
    wanted = np.asarray(noisy_rgb(64, 48)).astype(int)
    assert np.abs(np.asarray(image.convert("RGB")).astype(int) - wanted).mean() < 25
    assert open_image(encode_image(image, ".png")).size == (64, 48)
    suffix = {"MPO": ".jpg", "TIFF": ".tif"}.get(form, f".{form.lower()}")
    path = tmp_path / f"a{suffix}"
    path.write_bytes(frames(form))
    with pytest.raises(RequestError, match=r"holds 3 frames, .* --force"):
        check_output(path)
    check_output(path, force=True)
    path.write_bytes(frames(form, 1))
    check_output(path)
    assert NOTES not in open_image(path).info


def jpeg(**options) -> bytes:
    stream = io.BytesIO()
    noisy_rgb(200, 160).save(stream, "JPEG", **options)
    return stream.getvalue()


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"quality": 98, "subsampling": 0}])
@pytest.mark.parametrize("cut", [1, 2, 10])
def test_a_jpeg_without_its_last_bytes_opens_with_a_note(options, cut: int) -> None:
    data = jpeg(**options)
    image = open_image(data[:-cut])
    assert "ends too early" in image.info[NOTES][0]
    whole = np.asarray(open_image(data)).astype(int)
    assert np.array_equal(np.asarray(image)[:120], whole[:120])


@pytest.mark.parametrize("part", [0.3, 0.5, 0.8])
@pytest.mark.parametrize("data", [jpeg(), jpeg(progressive=True), png_bytes(noisy_rgb(200, 160))],
                         ids=["JPEG", "progressive", "PNG"])  # fmt: skip
def test_what_is_cut_in_half_is_refused_in_one_line(data: bytes, part: float) -> None:
    with pytest.raises(ImageError, match="cannot be read") as caught:
        open_image(data[: int(len(data) * part)])
    assert "\n" not in str(caught.value)


def test_postscript_is_no_picture_whatever_its_name(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n")
    with pytest.raises(ImageError, match="not a picture in a known format"):
        open_image(path)


def test_heic_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # as where it is not installed
    with pytest.raises(ImageError, match="pip install pillow-heif"):
        open_image(b"\0\0\0\x18ftypheic" + b"\0" * 100)


def test_an_empty_palette_gives_one_line() -> None:
    image = Image.new("P", (4, 4))
    image.putpalette([])
    with pytest.raises(ImageError, match="palette is empty"):
        Source(image).patch((0, 0, 4, 4), np.zeros((4, 4, 3), np.uint8), np.ones((4, 4), bool))


def test_standard_input_is_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    given = io.TextIOWrapper(io.BytesIO(png_bytes(noisy_rgb(5, 4))))
    monkeypatch.setattr(sys, "stdin", given)
    assert open_image(Path("-")).size == (5, 4)


def test_where_results_go_is_checked_before_the_work(tmp_path: Path) -> None:
    check_output(Path("-"))
    check_output(tmp_path / "a.png", count=3)
    assert [path.name for path in targets(Path("a.png"), 2)] == ["a-1.png", "a-2.png"]
    (tmp_path / "b-2.png").mkdir()
    for path, count, words in (
        (Path("-"), 2, "one picture"), (tmp_path / "b.png", 2, "is a folder"),
        (tmp_path / "a.xyz", 1, "cannot save"), (tmp_path / "a.ico", 1, "cannot save"),
        (tmp_path / "no" / "a.png", 1, "no such folder"), (tmp_path, 1, "cannot save"),
        (tmp_path / ("a" * 300 + ".png"), 1, "cannot be used"),
    ):  # fmt: skip
        with pytest.raises(RequestError, match=words):
            check_output(path, count=count)


def coding(data: bytes) -> tuple[int, int]:
    """The sum of a JPEG's quantization steps, and its sampling."""
    from PIL import JpegImagePlugin

    with Image.open(io.BytesIO(data)) as image:
        steps = sum(sum(table) for table in image.quantization.values())  # type: ignore[attr-defined]
        return steps, JpegImagePlugin.get_sampling(image)


@pytest.mark.parametrize("quality", [60, 90, 98, 100])
@pytest.mark.parametrize("sampling", [0, 1, 2])
def test_a_jpeg_is_saved_at_least_as_well_as_it_was(quality: int, sampling: int) -> None:
    data = jpeg(quality=quality, subsampling=sampling)
    steps, found = coding(encode_image(open_image(data), ".jpg"))
    assert found == sampling
    assert steps <= min(coding(data)[0], coding(jpeg(quality=95))[0])


def test_other_sources_keep_their_colour_at_full_resolution_and_quality_is_an_option() -> None:
    image = open_image(png_bytes(noisy_rgb(64, 48)))
    assert coding(encode_image(image, ".jpg"))[1] == 0
    for suffix in (".jpg", ".webp", ".avif"):
        small, large = (len(encoded(image, suffix, quality=q).data) for q in (50, 99))
        assert small < large
    with pytest.raises(RequestError, match="quality"):
        encoded(image, ".jpg", quality=101)


def test_a_lossless_webp_stays_lossless() -> None:
    stream = io.BytesIO()
    noisy_rgb(64, 48).save(stream, "WEBP", lossless=True)
    image = open_image(stream.getvalue())
    assert np.array_equal(np.asarray(open_image(encode_image(image, ".webp"))), np.asarray(image))


@pytest.mark.parametrize("listed", [bytes([0, 128] + [255] * 15), bytes([255, 0, 0] + [255] * 14)])
@pytest.mark.parametrize("suffix", [".gif", ".tif", ".webp", ".bmp", ".tga", ".jpg", ".avif"])
def test_a_palette_with_a_list_of_alphas_is_saved(listed: bytes, suffix: str) -> None:
    image = noisy_rgb(64, 48).quantize(17)
    image.info["transparency"] = listed
    made = encoded(image, suffix)
    back = open_image(made.data)
    if suffix in (".jpg", ".bmp"):
        assert "over white" in made.notes[0]
        return
    alpha = np.asarray(image.convert("RGBA"))[..., 3]
    found = np.asarray(back.convert("RGBA"))[..., 3]
    wanted = np.where(alpha >= 128, 255, 0) if suffix == ".gif" else alpha
    assert np.abs(found.astype(int) - wanted).max() <= (3 if suffix == ".avif" else 0)
    assert bool(made.notes) == (suffix == ".gif" and 128 in listed)


def test_the_page_on_formats_is_what_its_script_makes() -> None:
    from tests.formats_table import ROOT, page

    assert (ROOT / "docs/formats.md").read_text(encoding="utf-8") == page()
