"""Picture files out: what each format can hold of a picture, and the request that a PNG carries."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from engine.errors import ImageError, RequestError
from engine.picture import depth
from engine.picture.depth import DEEP, deep_of
from engine.picture.metadata import REQUEST_KEY, png_chunks, saying
from engine.picture.opening import CODING, FORMATS, open_image
from engine.picture.saving import write_whole
from engine.picture.source import Source
from engine.request.pictures import NOTES

__all__ = [
    "Encoded", "check_output", "encode_image", "encode_png", "encoded", "open_image",
    "read_request", "write_picture",
]  # fmt: skip

SUFFIXES = {
    ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".tif": "TIFF",
    ".tiff": "TIFF", ".gif": "GIF", ".bmp": "BMP", ".ppm": "PPM", ".pgm": "PPM", ".pnm": "PPM",
    ".pbm": "PPM", ".pfm": "PPM", ".jp2": "JPEG2000", ".avif": "AVIF", ".tga": "TGA",
}  # fmt: skip
MODES = {  # what each keeps as it is
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "JPEG": ("L", "RGB", "CMYK"),
    "WEBP": ("RGB", "RGBA"),
    "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "RGBX", "CMYK", "I;16", "I", "F"),
    "GIF": ("1", "L", "P", "RGB", "RGBA"),
    "BMP": ("1", "L", "P", "RGB"),
    "PPM": ("1", "L", "RGB", "I;16", "I", "F"),
    "JPEG2000": ("L", "LA", "RGB", "RGBA"),
    "AVIF": ("RGB", "RGBA"),
    "TGA": ("1", "L", "LA", "P", "RGB", "RGBA"),
}
CLEAR = ("PNG", "WEBP", "TIFF", "GIF", "JPEG2000", "AVIF", "TGA")  # these hold alpha
PROFILED = ("PNG", "JPEG", "WEBP", "TIFF", "AVIF")  # these hold a colour profile
KEYED = ("PNG", "GIF")  # these hold a transparent colour
QUALITY = 95


@dataclass(frozen=True)
class Encoded:
    """The bytes of a file, and notes on what of the picture it cannot hold."""

    data: bytes
    notes: tuple[str, ...] = ()


def encode_png(image: Image.Image, request: str | None = None) -> bytes:
    """A PNG with the request inside. 32-bit grey becomes 16-bit; other modes, sRGB."""
    return encoded(image, ".png", request).data


def encode_image(image: Image.Image, suffix: str, request: str | None = None) -> bytes:
    """A picture as the bytes of a file with this suffix; PNG carries the request."""
    return encoded(image, suffix, request).data


def encoded(
    image: Image.Image, suffix: str, request: str | None = None, quality: int | None = None
) -> Encoded:
    """A picture as a file with this suffix, and notes on what it cannot hold.

    ``quality``, 1 to 100, is that of JPEG, WebP and AVIF; without it 95, and at least as good as
    the file that the picture came from.
    """
    kind = _kind(suffix)
    if kind is None:
        raise ImageError(f"cannot save as {suffix or 'a file without a suffix'!s}; use .png")
    if quality is not None and not 1 <= quality <= 100:
        raise RequestError(f"quality: expected 1 to 100, got {quality}")
    notes: list[str] = []
    deep = deep_of(image)
    if deep is not None and kind == "PPM" and image.mode == "RGB":
        return Encoded(_ppm(deep))
    if deep is not None and kind not in ("PNG", "TIFF"):
        notes.append(f"saved with 8 bits a channel: {suffix} cannot hold 16; use .png or .tif")
    if deep is not None and kind == "TIFF" and image.mode == "LA":
        if "icc_profile" in image.info:
            raise ImageError(f"cannot save 16 bits of grey with alpha as {suffix}; use .png")
        image = depth.Deep(deep.values[..., [0, 0, 0, 1]], deep.peak).picture("RGBA", image.info)
        deep = deep_of(image)  # readers know no grey with alpha of 16 bits
    shape = deep is not None and kind in ("PNG", "TIFF")
    ready = _bare(image) if shape else _fitting(image, kind, suffix, notes)
    options, missing = saying(kind, ready if not shape else _sized(ready, image))
    notes += missing
    if kind == "PNG":
        options["pnginfo"] = png_chunks(image, request)
        if "icc_profile" not in ready.info:
            options.pop("icc_profile", None)
    options |= _compression(kind, image, quality)
    key = ready.info.get("transparency")
    if key is not None and kind in KEYED and ready.mode not in ("RGBA", "LA"):
        options["transparency"] = key
    stream = io.BytesIO()
    clean = ready.copy()
    clean.info = {}
    try:
        clean.save(stream, kind, **options)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SystemError) as error:
        raise ImageError(f"cannot save a {image.mode} picture as {suffix}: {error}") from None
    data = stream.getvalue()
    if deep is not None and kind == "PNG":
        data = depth.as_png(deep, image.mode, data)
    elif deep is not None and kind == "TIFF":
        data = depth.as_tiff(deep, image.mode, data)
    return Encoded(data, tuple(notes))


def _kind(suffix: str) -> str | None:
    """Pillow's name for the format of a suffix; None if it is none that is written."""
    kind = SUFFIXES.get(suffix.lower())
    Image.init()  # Pillow knows most formats only then
    return kind if kind in Image.SAVE else None


def read_request(image: Image.Image) -> str | None:
    """The request that a picture saved by ``encode_png`` carries, as JSON text."""
    value = image.info.get(REQUEST_KEY)
    return value if isinstance(value, str) else None


def check_output(out: Path, *, count: int = 1, force: bool = False) -> None:
    """Find out before the work whether its result can be saved: RequestError if not.

    ``-`` is standard output, for one picture. A file of several frames is only overwritten with
    ``force``, since its others would be lost.
    """
    if str(out) == "-":
        if count > 1:
            raise RequestError("-o -: standard output takes one picture; name a file for more")
        return
    if _kind(out.suffix) is None:
        raise RequestError(f"{out}: cannot save as {out.suffix or 'that'!r}; name a .png file")
    try:
        if not out.parent.is_dir():
            raise RequestError(f"{out.parent}: no such folder; make it first")
        for path in targets(out, count):
            if path.is_dir():
                raise RequestError(f"{path}: is a folder; name a file")
            frames = _frames_of(path) if path.is_file() and not force else 1
            if frames > 1:
                raise RequestError(
                    f"{path}: holds {frames} frames, of which only one would be left; name another "
                    "file, or add --force"
                )
    except OSError as error:
        raise RequestError(f"{out}: cannot be used ({error.strerror}); name another") from None


def targets(out: Path, count: int) -> list[Path]:
    """Where so many pictures go: several get -1, -2, ..."""
    if count == 1:
        return [out]
    return [out.with_name(f"{out.stem}-{index + 1}{out.suffix}") for index in range(count)]


def write_picture(
    path: Path, image: Image.Image, request: str | None = None, *, quality: int | None = None
) -> tuple[str, ...]:
    """Save a picture, whole or not at all (``-``: as a PNG to standard output); notes on what the
    file cannot hold. Raises ImageError or RequestError."""
    if str(path) == "-":
        made = encoded(image, ".png", request)
        sys.stdout.buffer.write(made.data)
        sys.stdout.buffer.flush()
        return made.notes
    made = encoded(image, path.suffix, request, quality)
    write_whole(path, made.data)
    return made.notes


def _frames_of(path: Path) -> int:
    """How many pictures a file holds; 1 if it is none."""
    try:
        Image.init()
        with Image.open(path, formats=[f for f in FORMATS if f in Image.OPEN]) as image:
            return int(getattr(image, "n_frames", 1))
    except Exception:  # whatever it is, it may be overwritten
        return 1


def _bare(image: Image.Image) -> Image.Image:
    """One pixel of a picture's mode, with what the picture says."""
    one = Image.new(image.mode, (1, 1))
    one.info = {k: v for k, v in image.info.items() if k not in (DEEP, NOTES, CODING)}
    return one


def _sized(bare: Image.Image, image: Image.Image) -> Image.Image:
    """The picture itself, to say its size."""
    image = image.copy()
    image.info = dict(bare.info)
    return image


def _fitting(image: Image.Image, kind: str, suffix: str, notes: list[str]) -> Image.Image:
    """The picture in a mode that a format holds. Colours keep their look: a profile that is dropped
    is converted first."""
    info = {k: v for k, v in image.info.items() if k not in (DEEP, NOTES, CODING)}
    profiled = "icc_profile" in info
    clear = image.mode in ("RGBA", "LA", "PA") or info.get("transparency") is not None
    palette_alpha = image.mode == "P" and image.palette is not None and (
        image.palette.mode == "RGBA"
    )
    if clear and kind not in CLEAR and image.mode != "I;16":
        notes.append(f"transparency is shown over white: {suffix} cannot hold it")
        return _flat(image, info, kind)
    if image.mode == "I" and kind in ("PNG", "JPEG2000"):
        low, high = image.getextrema()
        if not 0 <= float(low) <= float(high) <= 65535:  # type: ignore[arg-type]
            raise ImageError(
                f"cannot save as {suffix}: its values reach from {low} to {high}, which 16 bits "
                "cannot hold; use .tif"
            )
        image = Image.fromarray(np.asarray(image).astype(np.uint16))
    if profiled and (kind not in PROFILED or (image.mode == "L" and kind in ("WEBP", "AVIF"))):
        source = Image.fromarray(Source(image).view())
        info.pop("icc_profile")
        if clear:
            source.putalpha(image.convert("RGBA").getchannel("A"))
            info.pop("transparency", None)
        image = source
    elif (image.mode in ("P", "PA", "L", "LA", "RGB", "1") and image.mode not in MODES[kind]) or (
        (info.get("transparency") is not None and kind not in KEYED and image.mode != "I;16")
        or palette_alpha
    ):
        grey_profile = profiled and image.mode in ("LA", "L", "1")
        alpha = clear or palette_alpha
        wide = image.convert("RGBA" if alpha else "RGB" if image.mode != "1" else "L")
        if grey_profile and wide.mode != "L":
            shown = Image.fromarray(Source(image).view())
            if alpha:
                shown.putalpha(wide.getchannel("A"))
            wide = shown
            info.pop("icc_profile")
        image = wide
        info.pop("transparency", None)
    elif image.mode not in MODES[kind]:
        image = Image.fromarray(Source(image).view())
        info.pop("icc_profile", None)
        info.pop("transparency", None)
        notes.append(f"converted to 8 bits of sRGB: {suffix} cannot hold the picture's mode")
    if image.mode not in MODES[kind]:  # such as 1 as L in a WebP
        image = image.convert("RGB")
    image = image.copy()
    image.info = info
    return _one_clear(image, notes) if kind == "GIF" else image


def _flat(image: Image.Image, info: dict[Any, Any], kind: str) -> Image.Image:
    """A picture with alpha over white, in its own colour space."""
    info.pop("transparency", None)
    rgba = image.convert("RGBA")
    white = Image.new("RGB", image.size, "white")
    flat = Image.composite(rgba.convert("RGB"), white, rgba.getchannel("A"))
    if image.mode in ("L", "LA"):
        flat = flat.convert("L")
    if kind not in PROFILED and "icc_profile" in info:
        flat.info = {"icc_profile": info.pop("icc_profile")}
        flat = Image.fromarray(Source(flat).view())
    flat.info = info
    return flat


def _one_clear(image: Image.Image, notes: list[str]) -> Image.Image:
    """A palette of which one colour at most is transparent, as GIF has it."""
    listed = image.info.get("transparency")
    if image.mode == "P" and isinstance(listed, bytes):
        alpha = np.frombuffer(listed, np.uint8)
        clear = np.flatnonzero(alpha < 128)
        if ((alpha > 0) & (alpha < 255)).any():
            notes.append("half transparent colours are clear or opaque: .gif knows no other")
        del image.info["transparency"]
        if len(clear):
            raw = np.asarray(image)
            raw = np.where(np.isin(raw, clear), clear[0], raw).astype(np.uint8)
            image.frombytes(raw.tobytes())
            image.info["transparency"] = int(clear[0])
    elif image.mode in ("RGB", "RGBA"):
        notes.append("saved with 256 colours: .gif cannot hold more")
    return image


def _compression(kind: str, image: Image.Image, quality: int | None) -> dict[str, Any]:
    """How to compress: at least as well as the file that the picture came from."""
    coding = image.info.get(CODING)
    coding = coding if isinstance(coding, dict) else {}
    if kind == "JPEG":
        sampling = coding.get("subsampling", 0)
        options: dict[str, Any] = {"quality": quality or QUALITY}
        if image.mode not in ("L", "1", "I;16", "I", "F", "LA"):
            options["subsampling"] = sampling if sampling in (0, 1, 2) else 0
        if quality is None and coding.get("qtables") and image.mode != "CMYK":
            options["qtables"] = _finer(coding["qtables"])
        return options
    if kind == "WEBP":
        if coding.get("lossless") and quality is None:
            return {"lossless": True, "exact": True, "quality": 80}
        return {"quality": quality or QUALITY}
    if kind == "AVIF":
        return {"quality": quality or QUALITY, "subsampling": "4:4:4"}
    return {}


def _finer(tables: dict[int, list[int]]) -> list[list[int]]:
    """Quantization tables of quality 95, each step no coarser than the source's."""
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "JPEG", quality=QUALITY)
    with Image.open(stream, formats=("JPEG",)) as made:
        own: dict[int, list[int]] = made.quantization  # type: ignore[attr-defined]
    given = [list(tables[key]) for key in sorted(tables)]
    return [
        [min(a, b, 255) for a, b in zip(own[index], given[min(index, len(given) - 1)], strict=True)]
        for index in (0, 1)
    ]


def _ppm(deep: depth.Deep) -> bytes:
    height, width = deep.values.shape[:2]
    return b"P6\n%d %d\n65535\n" % (width, height) + deep.values.astype(">u2").tobytes()
