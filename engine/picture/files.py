"""Picture files in and out: decoders, encoders, and the request that a PNG carries."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from engine.errors import ImageError
from engine.picture.source import Source, check_size, too_large, upright

REQUEST_KEY = "varpaint"  # the PNG text chunk that carries the request
PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
AS_THEY_ARE = {  # modes that a format keeps, or that Pillow brings into it without loss of range
    "JPEG": ("1", "L", "RGB", "CMYK"),
    "WEBP": ("1", "L", "LA", "P", "PA", "RGB", "RGBA"),
}


def open_image(source: str | Path | bytes | BinaryIO) -> Image.Image:
    """A picture from a file, bytes or stream: loaded, upright, its mode, alpha and ICC kept."""
    name = str(source) if isinstance(source, str | Path) else "the upload"
    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        with Image.open(stream) as image:
            check_size(image.size, name)
            image.load()
            return upright(image)
    except FileNotFoundError:
        raise ImageError(f"{name}: no such file; check the path") from None
    except IsADirectoryError:
        raise ImageError(f"{name}: is a folder; name a picture file") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageError(too_large(name, None)) from None
    except ImageError:
        raise
    except Exception as error:  # decoders raise anything from SyntaxError to struct.error
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        if isinstance(error, UnidentifiedImageError):
            reason = "not a picture in a known format"
        raise ImageError(f"{name}: cannot be read ({reason}); use a PNG, JPEG or WebP") from None


def encode_png(image: Image.Image, request: str | None = None) -> bytes:
    """A PNG with the request inside. 32-bit grey becomes 16-bit; other modes, sRGB."""
    if image.mode == "I":
        deep = Image.fromarray(np.clip(np.asarray(image), 0, 65535).astype(np.uint16))
        deep.info = dict(image.info)
        image = deep
    if image.mode not in PNG_MODES:
        icc_free = Image.fromarray(Source(image).view())
        icc_free.info = {k: v for k, v in image.info.items() if k in ("exif", "dpi")}
        image = icc_free
    chunks = PngImagePlugin.PngInfo()
    if request is not None:
        chunks.add_itxt(REQUEST_KEY, request)
    stream = io.BytesIO()
    extra = {k: image.info[k] for k in ("icc_profile", "transparency", "dpi") if k in image.info}
    image.save(stream, "PNG", pnginfo=chunks, exif=image.getexif(), **extra)
    return stream.getvalue()


def read_request(image: Image.Image) -> str | None:
    """The request that a picture saved by ``encode_png`` carries, as JSON text."""
    value = image.info.get(REQUEST_KEY)
    return value if isinstance(value, str) else None


def encode_image(image: Image.Image, suffix: str, request: str | None = None) -> bytes:
    """A picture as the bytes of a file with this suffix; PNG carries the request."""
    kind = Image.registered_extensions().get(suffix.lower())
    if kind is None or kind not in Image.SAVE:
        raise ImageError(f"cannot save as {suffix or 'a file without a suffix'!s}; use .png")
    if kind == "PNG":
        return encode_png(image, request)
    options: dict[str, Any] = {"exif": image.getexif()}
    if "icc_profile" in image.info:
        options["icc_profile"] = image.info["icc_profile"]
    if kind in ("JPEG", "WEBP"):
        options["quality"] = 95
    if kind in AS_THEY_ARE and image.mode not in AS_THEY_ARE[kind]:
        image = Image.fromarray(Source(image).view())
        options.pop("icc_profile", None)
    stream = io.BytesIO()
    try:
        image.save(stream, kind, **options)
    except (OSError, ValueError, KeyError) as error:
        raise ImageError(f"cannot save a {image.mode} picture as {suffix}: {error}") from None
    return stream.getvalue()
