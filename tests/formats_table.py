"""Makes docs/formats.md by running it: what goes in, and what comes out of an edit.

    python tests/formats_table.py             writes docs/formats.md
    python tests/formats_table.py --check     says whether it is as it would be written
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from engine.errors import EngineError  # noqa: E402
from engine.picture.colour import PRIMARIES, SRGB_XY, made_profile  # noqa: E402
from engine.picture.depth import Deep, deep_of  # noqa: E402
from engine.picture.files import SUFFIXES, encoded, open_image  # noqa: E402
from engine.picture.metadata import dpi_of, written_resources  # noqa: E402
from engine.picture.source import Source, same_outside  # noqa: E402
from engine.request.pictures import NOTES  # noqa: E402
from tests.pictures import noisy_rgb, picture  # noqa: E402

SIZE = (48, 32)
OUT = [".png", ".jpg", ".webp", ".tif", ".avif", ".gif", ".bmp", ".ppm", ".jp2"]
P3 = made_profile(PRIMARIES[12], None)
GREY = bytes(made_profile(SRGB_XY, 1.0)).replace(b"rTRC", b"kTRC").replace(b"RGB ", b"GRAY", 1)
HEAD = """# Picture files

What goes in, what comes out. Made by `python tests/formats_table.py`, which runs every cell: a
picture is opened, a rectangle of it is painted, and it is saved.

Outside the mask a result is the source, to the bit: size, mode, depth, alpha, profile. Whether the
*file* is depends on its format. In the table **same** says that all pixels outside the mask come
back as they were, *close* that they do but for compression, "same look" that they show the same in
another mode, and other words say what becomes of them. What did not go as one expects is in the
result's notes (the command line prints them, `--json` and HTTP list them), and what cannot be done
is refused in one line, before anything is written.
"""
TAIL = """
## Masks
White or any colour on black, or anything painted on a transparent ground, is regenerated. Palettes
and transparent colours are read. Where a picture has both black ground and alpha, its colours
decide; a pixel that is nearly opaque, or a single value of 1 in a black mask, is nothing. A soft
mask is cut at half of its white, with a note. `--feather` softens an edit's edge.

## Colour
A profile is told by its numbers: one that is within two levels of sRGB is sRGB, whatever its name.
For any other the model sees the picture converted to sRGB, and what it draws comes back in the
picture's own space. What sRGB has no colour for is clipped only for the model: the picture's own
known pixels say what each clipped colour stands for. PNG's `gAMA`, `cHRM` and `cICP`, and the
numbers of an AVIF, are honoured as a profile. PQ and HLG are edited as their numbers are, with a
note. A profile that a format cannot hold is converted to sRGB first; grey profiles stay on grey
files.

## Metadata
Thumbnails and gain maps are left out, since they would show the old picture. EXIF says the true
size; an orientation is carried out and removed. Damaged EXIF is dropped, with a note.

## Saving
A file is written beside its target without a name, synced to the disk, and renamed: the old file is
whole at any moment. JPEG takes at least the source's quality (95 without one) and its chroma; 4:4:4
for what was no JPEG; `--quality` says otherwise. A WebP that was lossless stays so. Overwriting a
file of several frames needs `--force`. `-` is standard input, and a PNG on standard output.
"""


def deep(mode: str, high: int = 65535) -> Image.Image:
    channels = {"LA": 2, "RGB": 3, "RGBA": 4}[mode]
    rng = np.random.default_rng(0)
    values = rng.integers(0, high + 1, (SIZE[1], SIZE[0], channels)).astype(np.uint16)
    return Deep.of(values).picture(mode, {})


def profiled(image: Image.Image, icc: bytes) -> Image.Image:
    image.info["icc_profile"] = icc
    return image


PIXELS: dict[str, Callable[[], Image.Image]] = {
    "1": lambda: picture("1", *SIZE),
    "L": lambda: picture("L", *SIZE),
    "L, grey profile": lambda: profiled(picture("L", *SIZE), GREY),
    "LA": lambda: picture("LA", *SIZE),
    "P": lambda: picture("P", *SIZE),
    "P, list of alphas": lambda: picture("P+alpha", *SIZE),
    "RGB": lambda: noisy_rgb(*SIZE),
    "RGB, Display P3": lambda: profiled(noisy_rgb(*SIZE), P3),
    "RGBA": lambda: picture("RGBA", *SIZE),
    "CMYK": lambda: picture("CMYK", *SIZE),
    "16-bit grey": lambda: picture("I;16", *SIZE),
    "16-bit RGB": lambda: deep("RGB"),
    "12 bits in 16, RGB": lambda: deep("RGB", 4095),
    "16-bit RGBA": lambda: deep("RGBA"),
    "16-bit LA": lambda: deep("LA"),
    "32-bit grey": lambda: picture("I", *SIZE),
    "float": lambda: picture("F", *SIZE),
}


def edited(image: Image.Image) -> tuple[Image.Image, np.ndarray]:
    """The picture with a rectangle painted, and the mask."""
    mask = np.zeros((image.height, image.width), bool)
    mask[8:20, 10:30] = True
    box = (0, 0, *image.size)
    new = np.full((*mask.shape, 3), 128, np.uint8)
    result = Source(image).patch(box, new, mask)
    assert same_outside(Source(image).image, result, box, mask)
    return result, mask


def came_back(image: Image.Image, suffix: str) -> str:
    """What becomes of the pixels outside the mask."""
    result, mask = edited(image)
    try:
        made = encoded(result, suffix)
    except EngineError:
        return "refused"
    back = open_image(made.data)
    before, after = deep_of(result), deep_of(back)
    words = []
    if (before is None) == (after is None) and back.mode == result.mode:
        pair = ((result, before), (back, after))
        a, b = (np.asarray(image) if deep is None else deep.values for image, deep in pair)
        if a.shape == b.shape and np.array_equal(a[~mask], b[~mask]):
            kept = result.info.get("icc_profile") == back.info.get("icc_profile")
            return "**same**" if kept and palette(result) == palette(back) else "same numbers"
    if before is not None and after is None:
        words.append("8 bits")
    if "icc_profile" in result.info and "icc_profile" not in back.info:
        words.append("as sRGB")
    if back.mode != result.mode:
        words.append("16-bit grey" if back.mode == "I;16" else back.mode)
    off = np.abs(Source(back).view().astype(int) - Source(result).view())[~mask].mean()
    words.append("same look" if off <= 0.1 else "256 colours" if suffix == ".gif" else "*close*")
    return ", ".join(words) + (", noted" if made.notes else "")


def palette(image: Image.Image) -> object:
    if image.mode != "P":
        return None
    rgba = np.asarray(image.convert("RGBA"))
    return rgba[0, 0].tolist()


def opened(data: bytes) -> str:
    try:
        image = open_image(data)
    except EngineError as error:
        return f"refused: {str(error).removeprefix('the upload: ')}"
    return "; ".join(str(note) for note in image.info.get(NOTES, ())) or "opened"


def stream(image: Image.Image, form: str, **options: object) -> bytes:
    held = io.BytesIO()
    image.save(held, form, **options)
    return held.getvalue()


def whole() -> bytes:
    """A JPEG that says all there is to say."""
    exif = Image.Exif()
    exif[0x8298], exif[0x013B] = "CC0", "someone"
    body = b"Photoshop 3.0\0" + written_resources({0x0404: b"\x1c\x02\x50\0\1a"})
    app13 = b"\xff\xed" + (len(body) + 2).to_bytes(2, "big") + body
    return stream(noisy_rgb(*SIZE), "JPEG", exif=exif, dpi=(300, 300), extra=app13, quality=98,
                  xmp=b"<x:xmpmeta/>", comment=b"hello")  # fmt: skip


def said(suffix: str) -> dict[str, bool]:
    back = open_image(encoded(open_image(whole()), suffix).data)
    dpi = dpi_of(back)
    return {
        "dpi": dpi is not None and abs(dpi[0] - 300) < 1,
        "EXIF": back.getexif().get(0x8298) == "CC0",
        "XMP": b"xmpmeta" in back.info.get("xmp", b""),
        "IPTC": 0x0404 in back.info.get("photoshop", {}),
        "comment": back.info.get("comment") == b"hello",
        "request": "varpaint" in open_image(encoded(noisy_rgb(8, 8), suffix, "{}").data).info,
    }


def inputs() -> dict[str, bytes]:
    frames = [noisy_rgb(*SIZE, seed) for seed in range(3)]
    many = {"save_all": True, "append_images": frames[1:]}
    jpeg = stream(noisy_rgb(200, 160), "JPEG")
    png = stream(noisy_rgb(200, 160), "PNG")
    return {
        "GIF of 3 frames": stream(frames[0], "GIF", **many),
        "PNG of 3 frames (APNG)": stream(frames[0], "PNG", **many),
        "WebP of 3 frames": stream(frames[0], "WEBP", **many),
        "TIFF of 3 pages": stream(frames[0], "TIFF", **many),
        "JPEG of 3 pictures (MPO, gain map)": stream(frames[0], "MPO", **many),
        "JPEG without its last 2 bytes": jpeg[:-2],
        "JPEG cut in half": jpeg[: len(jpeg) // 2],
        "PNG cut in half": png[: len(png) // 2],
        "JPEG with damaged EXIF": stream(noisy_rgb(8, 8), "JPEG", exif=b"Exif\0\0" + b"\0" * 8),
        "PNG, RGB, with a grey profile": stream(noisy_rgb(8, 8), "PNG", icc_profile=GREY),
        "PNG with a damaged profile": stream(noisy_rgb(8, 8), "PNG", icc_profile=b"x" * 200),
        "PostScript named .png": b"%!PS-Adobe-3.0 EPSF-3.0\n",
        "no picture": b"hello",
    }


def rows(head: list[str], body: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def page() -> str:
    table = [[name, *(came_back(make(), s) for s in OUT)] for name, make in PIXELS.items()]
    names = list(said(".png"))
    held = [[suffix, *("kept" if said(suffix)[n] else "" for n in names)] for suffix in OUT]
    told = [[name, opened(data)] for name, data in inputs().items()]
    return (
        f"{HEAD}\n## Pixels\n{rows(['in', *OUT], table)}"
        f"\nOther suffixes that are written: {', '.join(s for s in SUFFIXES if s not in OUT)}. "
        "Read as well: ICO, and HEIC with `pip install pillow-heif`. AVIF and HEIC of 10 and 12 "
        "bits are read as 8, with a note; what else has more than 8 bits and cannot be kept whole "
        "is refused.\n"
        f"\n## What a file says\nFrom a JPEG that says it all.\n\n{rows(['out', *names], held)}"
        f"\nPNG keeps the text of others, too.\n"
        f"\n## What is noted or refused\n{rows(['in', 'what is said'], told)}{TAIL}"
    )


if __name__ == "__main__":
    path = ROOT / "docs/formats.md"
    if "--check" in sys.argv:
        sys.exit(path.read_text(encoding="utf-8") != page() and f"{path} is not up to date")
    path.write_text(page(), encoding="utf-8")
