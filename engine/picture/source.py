"""A picture to edit: what it shows as RGB, and how new pixels enter it in its own mode.

The only place that knows colour modes and ICC profiles. An RGB array is (H, W, 3) uint8.
"""

from __future__ import annotations

import io
import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps

from engine.arrays import RGB, Box, Mask
from engine.errors import ImageError

MAX_PIXELS = 40_000_000
ORIENTATION = 0x0112  # EXIF tag ...
SIDEWAYS = (5, 6, 7, 8)  # ... and its values that swap width and height
BAND = 1 << 20  # pixels that are compared at once

PLAIN_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV")
DEEP_MODES = ("I", "I;16", "I;16L", "I;16B", "F")
ALPHA_MODES = ("LA", "PA", "RGBA")


@lru_cache(maxsize=8)
def _srgb_transforms(icc: bytes, mode: str) -> tuple[Any, Any] | None:
    """(to sRGB, from sRGB) for a profile, or None: sRGB already, or a profile nobody can use."""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        if "srgb" in ImageCms.getProfileDescription(profile).lower():
            return None
        srgb = ImageCms.createProfile("sRGB")
        return (
            ImageCms.buildTransform(profile, srgb, mode, "RGB"),
            ImageCms.buildTransform(srgb, profile, "RGB", mode),
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


def check_size(size: tuple[int, int], name: str = "the picture") -> None:
    """Raise ImageError for an empty picture or one beyond ``MAX_PIXELS``."""
    width, height = size
    if width < 1 or height < 1:
        raise ImageError(f"{name}: {width}x{height} pixels is empty; use a picture with pixels")
    if width * height > MAX_PIXELS:
        raise ImageError(too_large(name, size))


def too_large(name: str, size: tuple[int, int] | None) -> str:
    shown = f"{size[0]}x{size[1]} pixels" if size else "its declared size"
    return (
        f"{name}: {shown} is beyond the limit of {MAX_PIXELS / 1e6:.0f} megapixels; "
        "scale it down first"
    )


def upright(image: Image.Image) -> Image.Image:
    """The picture turned as its EXIF orientation says, the tag removed; a copy."""
    turned = ImageOps.exif_transpose(image)
    if turned.info is image.info:
        turned.info = dict(image.info)
    return turned


def upright_size(image: Image.Image) -> tuple[int, int]:
    """(width, height) of a picture once it is turned as its EXIF orientation says."""
    width, height = image.size
    return (height, width) if image.getexif().get(ORIENTATION, 1) in SIDEWAYS else (width, height)


class Source:
    """A picture to edit: shows itself as RGB, and takes new RGB pixels in its own mode.

    ``image`` is upright and loaded. Nothing is converted until a part is asked for, so that an
    edit of a 40-megapixel picture touches only the part that the model sees.
    """

    def __init__(self, image: Image.Image) -> None:
        check_size(image.size)
        if image.mode not in PLAIN_MODES + DEEP_MODES:
            raise ImageError(f"the picture's mode {image.mode} cannot be edited; convert it to RGB")
        try:
            image.load()
        except Exception as error:
            raise ImageError(f"the picture cannot be read ({error}); open it anew") from None
        self.image = upright(image)
        self.width, self.height = self.image.size
        self._thumbnails: dict[int, Image.Image] = {}

    def thumbnail(self, side: int) -> Image.Image:
        """The picture as RGB, fitted into ``side``; made once."""
        if side not in self._thumbnails:
            self._thumbnails[side] = thumbnail(self.image, side)
        return self._thumbnails[side]

    def _transforms(self, mode: str) -> tuple[Any, Any] | None:
        icc = self.image.info.get("icc_profile")
        return _srgb_transforms(icc, mode) if icc and mode in ("RGB", "CMYK") else None

    def view(self, box: Box | None = None) -> RGB:
        """The part of the picture in ``box``, as the model sees it: sRGB over white."""
        part = self.image if box is None else self.image.crop(box)
        if part.mode in DEEP_MODES:
            raw = np.asarray(part)
            values = np.where(np.isnan(raw), 0, raw).astype(np.float64) * (255 / self._deep_peak())
            grey = np.clip(np.rint(values), 0, 255).astype(np.uint8)
            return np.repeat(grey[..., None], 3, axis=2)
        if part.mode in ALPHA_MODES or "transparency" in part.info:
            rgba = part.convert("RGBA")
            alpha = rgba.getchannel("A")
            rgb = self._to_srgb(rgba.convert("RGB"))
            white = Image.new("RGB", rgb.size, "white")
            return np.asarray(Image.composite(rgb, white, alpha))
        return np.asarray(self._to_srgb(part))

    def _to_srgb(self, part: Image.Image) -> Image.Image:
        transforms = self._transforms(part.mode)
        if transforms is not None:
            converted = ImageCms.applyTransform(part, transforms[0])
            assert converted is not None
            return converted
        return part.convert("RGB")

    def _deep_peak(self) -> float:
        """The value that counts as white in a mode of more than 8 bits; what is not finite does
        not say it."""
        if self.image.mode != "F":
            return 65535.0
        _, high = self.image.getextrema()
        assert isinstance(high, float)
        if not math.isfinite(high):
            values = np.asarray(self.image)
            high = float(values.max(initial=0, where=np.isfinite(values)))
        return 1.0 if high <= 1.0 else 255.0

    def patch(self, box: Box, rgb: RGB, mask: Mask) -> Image.Image:
        """A new picture of the same mode whose pixels under ``mask`` are ``rgb``.

        ``rgb`` (h, w, 3) and ``mask`` (h, w) cover ``box``. Every other byte is the source's,
        palette, profile and metadata included; new pixels are opaque.
        """
        out = self.image.copy()
        out.info = dict(self.image.info)
        if not mask.any():
            return out
        left, top, right, bottom = box
        raw = np.array(self.image)
        raw[top:bottom, left:right][mask] = self._encode(rgb[mask])
        data = np.packbits(raw, axis=1).tobytes() if out.mode == "1" else raw.tobytes()
        out.frombytes(data)
        return out

    def _encode(self, colours: NDArray[np.uint8]) -> NDArray[Any]:
        """RGB colours (N, 3) as pixels of the source's mode, (N,) or (N, channels)."""
        mode = self.image.mode
        strip = Image.fromarray(colours[:, None, :])  # one pixel wide
        if mode in DEEP_MODES:
            grey = np.asarray(strip.convert("L"))[:, 0].astype(np.float64)
            values = grey * (self._deep_peak() / 255)
            return values if mode == "F" else np.rint(values)
        if mode in ("P", "PA"):
            return self._nearest_in_palette(colours)
        if mode == "1":
            bits: NDArray[Any] = np.asarray(strip.convert("L"))[:, 0] >= 128
            return bits
        if mode == "RGBX":
            return np.concatenate([colours, np.full((len(colours), 1), 255, np.uint8)], axis=1)
        base = {"RGBA": "RGB", "LA": "L"}.get(mode, mode)
        transforms = self._transforms(base)
        if transforms is not None:
            converted = ImageCms.applyTransform(strip, transforms[1])
            assert converted is not None
        else:
            converted = strip.convert(base)
        pixels = np.array(converted)[:, 0]
        key = self.image.info.get("transparency")
        if key is not None:  # a colour key: new pixels must not turn transparent by chance
            same = np.all(np.atleast_2d(pixels.T).T == np.atleast_1d(key), axis=-1)
            pixels[same] ^= 1
        if mode in ("RGBA", "LA"):
            pixels = pixels.reshape(len(colours), -1)
            opaque = np.full((len(colours), 1), 255, np.uint8)
            pixels = np.concatenate([pixels, opaque], axis=1)
        return pixels

    def _nearest_in_palette(self, colours: NDArray[np.uint8]) -> NDArray[Any]:
        """Index of the nearest opaque palette entry; (index, 255) for a palette with alpha."""
        rgba = self.image.convert("P").palette if self.image.mode == "PA" else self.image.palette
        assert rgba is not None
        entries = np.frombuffer(bytes(rgba.palette), np.uint8)
        entries = entries.reshape(-1, len(rgba.mode)).astype(np.int32)
        usable = np.ones(len(entries), bool)
        transparent = self.image.info.get("transparency")
        if isinstance(transparent, int) and transparent < len(usable):
            usable[transparent] = False
        elif isinstance(transparent, bytes):
            alpha = np.frombuffer(transparent, np.uint8)[: len(entries)]
            usable[: len(alpha)] &= alpha == 255
        elif rgba.mode == "RGBA":
            usable &= entries[:, 3] == 255
        if not usable.any():
            usable[:] = True
        index = np.flatnonzero(usable)
        known, inverse = np.unique(colours, axis=0, return_inverse=True)
        nearest = np.empty(len(known), np.uint8)
        for begin in range(0, len(known), 4096):
            part = known[begin : begin + 4096].astype(np.int32)
            distance = ((part[:, None] - entries[index, :3][None]) ** 2).sum(2)
            nearest[begin : begin + 4096] = index[distance.argmin(1)]
        chosen = nearest[inverse.reshape(-1)]
        if self.image.mode == "PA":
            return np.stack([chosen, np.full_like(chosen, 255)], axis=1)
        return chosen


def thumbnail(image: Image.Image, side: int) -> Image.Image:
    """The picture as RGB, scaled down to fit ``side`` x ``side`` pixels; never up."""
    scale = min(1.0, side / max(image.size))
    if scale < 1 and image.mode in ("RGB", "RGBA", "L", "LA"):
        size = (max(round(image.width * scale), 1), max(round(image.height * scale), 1))
        image = image.resize(size, Image.Resampling.BOX, reducing_gap=2.0)
    small = Image.fromarray(Source(image).view())
    small.thumbnail((side, side))
    return small


def extend(source: Source, margins: tuple[int, int, int, int]) -> Source:
    """The source on a canvas larger by (left, top, right, bottom), its edge pixels repeated.

    Whether it may be so large is for `check_size` to say, before.
    """
    left, top, right, bottom = margins
    width, height = source.width + left + right, source.height + top + bottom
    raw = np.asarray(source.image)
    pad = [(top, bottom), (left, right)] + [(0, 0)] * (raw.ndim - 2)
    wide = np.pad(raw, pad, mode="edge")
    image = source.image.resize((width, height), Image.Resampling.NEAREST)
    image.info = dict(source.image.info)
    data = np.packbits(wide, axis=1).tobytes() if image.mode == "1" else wide.tobytes()
    image.frombytes(data)
    return Source(image)


def same_outside(source: Image.Image, result: Image.Image, box: Box, mask: Mask) -> bool:
    """Whether every pixel outside ``mask`` (covering ``box``) is the same in both pictures, to the
    bit: of floating-point numbers those that are none too."""
    if (source.mode, source.size) != (result.mode, result.size):
        return False
    left, top, right, bottom = box
    step = max(BAND // source.width, 1)
    for begin in range(0, source.height, step):  # the whole pictures as arrays would be large
        end = min(begin + step, source.height)
        before, after = (
            np.asarray(image.crop((0, begin, image.width, end))) for image in (source, result)
        )
        if before.dtype.kind == "f":
            before, after = before.view(np.uint32), after.view(np.uint32)
        differs = before != after
        if differs.ndim == 3:
            differs = differs.any(axis=2)
        first, last = max(begin, top), min(end, bottom)
        if first < last:
            inside = differs[first - begin : last - begin, left:right]
            inside &= ~mask[first - top : last - top]
        if differs.any():
            return False
    return True


def blank(size: tuple[int, int]) -> Source:
    """A picture (width, height) of which nothing is known yet."""
    return Source(Image.new("RGB", size))
