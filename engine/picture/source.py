"""A picture to edit: what it shows as RGB, and how new pixels enter it in its own mode.

The only place that knows colour modes; profiles are in `engine.picture.colour`, 16 bits a channel
in `engine.picture.depth`. An RGB array is (H, W, 3) uint8.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from engine.arrays import RGB, Box, Floats, Mask
from engine.errors import ImageError
from engine.picture.colour import Gamut, Space, space_of
from engine.picture.depth import DEEP, Deep, deep_of, peak_of
from engine.request.pictures import NOTES

BAND = 1 << 20  # pixels that are compared at once

PLAIN_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV")
BYTE_MODES = PLAIN_MODES[1:]  # of whole bytes a pixel
DEEP_MODES = ("I", "I;16", "I;16L", "I;16B", "F")
ALPHA_MODES = ("LA", "PA", "RGBA")
TELLING = 200_000  # known pixels that say what sRGB has no colour for


def upright(image: Image.Image) -> Image.Image:
    """The picture turned as its EXIF orientation says, the tag removed; a copy.

    EXIF that is damaged says nothing, and is dropped.
    """
    try:
        turned = ImageOps.exif_transpose(image)
    except Exception:  # the reader raises anything from SyntaxError to struct.error
        turned = image.copy()
        turned.info = {k: v for k, v in image.info.items() if k != "exif"}
    if turned.info is image.info:
        turned.info = dict(image.info)
    return turned


class Source:
    """A picture to edit: shows itself as RGB, and takes new RGB pixels in its own mode.

    ``image`` is upright and loaded; its size has been checked. Nothing is converted until a part is
    asked for, so that an edit of a 40-megapixel picture touches only the part that the model sees.
    """

    def __init__(self, image: Image.Image) -> None:
        if image.mode not in PLAIN_MODES + DEEP_MODES:
            raise ImageError(f"the picture's mode {image.mode} cannot be edited; convert it to RGB")
        try:
            image.load()
        except Exception as error:
            raise ImageError(f"the picture cannot be read ({error}); open it anew") from None
        self.image = upright(image)
        self.width, self.height = self.image.size
        self.deep = deep_of(self.image)
        self.image.info.pop(NOTES, None)
        if self.deep is None:
            self.image.info.pop(DEEP, None)
        self._peak: float | None = None
        self._thumbnails: dict[int, Image.Image] = {}

    def thumbnail(self, side: int) -> Image.Image:
        """The picture as RGB, fitted into ``side``; made once."""
        if side not in self._thumbnails:
            self._thumbnails[side] = thumbnail(self.image, side)
        return self._thumbnails[side]

    def _space(self, mode: str) -> Space | None:
        """The picture's colour space, if it is not sRGB; ``mode`` is L, RGB or CMYK."""
        icc = self.image.info.get("icc_profile")
        return space_of(icc, mode) if isinstance(icc, bytes) and icc else None

    def view(self, box: Box | None = None) -> RGB:
        """The part of the picture in ``box``, as the model sees it: sRGB over white."""
        part = self.image if box is None else self.image.crop(box)
        if part.mode in DEEP_MODES:
            return self._deep_view(part)
        rgb, alpha = part, None
        if part.mode in ALPHA_MODES or "transparency" in part.info:
            rgba = part.convert("RGBA")
            alpha = rgba.getchannel("A")
            rgb = part.convert("L") if part.mode == "LA" else rgba.convert("RGB")
        shown = self._to_srgb(rgb, box)
        if alpha is None:
            return np.asarray(shown)
        return np.asarray(Image.composite(shown, Image.new("RGB", rgb.size, "white"), alpha))

    def _deep_view(self, part: Image.Image) -> RGB:
        raw = np.asarray(part)
        values = np.where(np.isnan(raw), 0, raw).astype(np.float64) / self._deep_peak()
        space = self._space("L") if part.mode != "F" else None
        if space is not None and space.matrix is not None:
            return space.matrix.seen(values.clip(0, 1)[..., None])
        grey = np.clip(np.rint(values * 255), 0, 255).astype(np.uint8)
        if space is not None:
            return np.asarray(space.seen(Image.fromarray(grey)))
        return np.repeat(grey[..., None], 3, axis=2)

    def _to_srgb(self, part: Image.Image, box: Box | None) -> Image.Image:
        if part.mode in ("P", "PA"):
            part = part.convert("RGB")
        space = self._space(part.mode)
        if space is None:
            return part.convert("RGB")
        if self.deep is None or space.matrix is None:
            return space.seen(part)
        left, top, right, bottom = box or (0, 0, self.width, self.height)
        values = self.deep.values[top:bottom, left:right, : len(space.matrix.curves)]
        return Image.fromarray(space.matrix.seen(values / self.deep.peak))

    def _deep_peak(self) -> float:
        """The value that counts as white in a mode of more than 8 bits; what is not finite does
        not say it."""
        if self._peak is None:
            if self.image.mode == "F":
                values = np.asarray(self.image)
                high = float(values.max(initial=0, where=np.isfinite(values)))
                self._peak = 1.0 if high <= 1.0 else 255.0
            else:
                self._peak = float(peak_of(int(np.asarray(self.image).max(initial=0))))
        return self._peak

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
        lost = self._gamut(box, mask)
        if self.deep is None and out.mode in BYTE_MODES:
            piece = np.array(self.image.crop(box))
            piece[mask] = self._encode(rgb[mask], lost)
            out.paste(Image.frombytes(out.mode, (right - left, bottom - top), piece.tobytes()), box)
            return out
        raw = np.array(self.image)
        if self.deep is None:
            raw[top:bottom, left:right][mask] = self._encode(rgb[mask], lost)
        else:
            whole = self.deep.values.copy()
            whole[top:bottom, left:right][mask] = self._encode_deep(rgb[mask], lost, self.deep)
            deep = Deep(whole, self.deep.peak)
            part = (slice(top, bottom), slice(left, right))
            raw[part] = deep.bytes8(part)
            out.info[DEEP] = deep
        data = np.packbits(raw, axis=1).tobytes() if out.mode == "1" else raw.tobytes()
        out.frombytes(data)
        return out

    def _gamut(self, box: Box, mask: Mask) -> Gamut | None:
        """What sRGB has no colour for among the pixels that stay, and which it shows instead."""
        space = self._space("RGB") if self.image.mode in ("RGB", "RGBA") else None
        known = np.flatnonzero(~mask)
        if space is None or not len(known):
            return None
        known = known[:: len(known) // TELLING + 1]
        part = self.image.crop(box).convert("RGB")
        own = np.asarray(part).reshape(-1, 3)[known]
        seen = np.asarray(self._to_srgb(part, box)).reshape(-1, 3)[known]
        return Gamut.of(own.astype(np.float64), seen, space.own(seen).astype(np.float64))

    def _encode_deep(self, colours: NDArray[np.uint8], lost: Gamut | None, deep: Deep) -> Floats:
        """RGB colours (N, 3) as pixels of a deep picture (N, channels)."""
        base = self.image.mode.removesuffix("A")
        space = self._space(base)
        if space is not None:
            values = space.own_deep(colours, deep.peak)
        else:
            strip = np.array(Image.fromarray(colours[:, None]).convert(base))
            values = strip.reshape(len(colours), -1) * (deep.peak / 255)
        if lost is not None:
            values = values + lost.given_back(colours) * (deep.peak / 255)
        if self.image.mode != base:
            values = np.concatenate([values, np.full((len(colours), 1), deep.peak)], axis=1)
        return np.clip(np.rint(values), 0, deep.peak)

    def _encode(self, colours: NDArray[np.uint8], lost: Gamut | None) -> NDArray[Any]:
        """RGB colours (N, 3) as pixels of the source's mode, (N,) or (N, channels)."""
        mode = self.image.mode
        strip = Image.fromarray(colours[:, None, :])  # one pixel wide
        if mode in DEEP_MODES:
            peak = self._deep_peak()
            space = self._space("L") if mode != "F" else None
            if space is not None:
                return np.rint(space.own_deep(colours, round(peak))[:, 0])
            grey = np.asarray(strip.convert("L"))[:, 0].astype(np.float64)
            values = grey * (peak / 255)
            return values if mode == "F" else np.rint(values)
        if mode in ("P", "PA"):
            return self._nearest_in_palette(colours)
        if mode == "1":
            bits: NDArray[Any] = np.asarray(strip.convert("L"))[:, 0] >= 128
            return bits
        if mode == "RGBX":
            return np.concatenate([colours, np.full((len(colours), 1), 255, np.uint8)], axis=1)
        base = {"RGBA": "RGB", "LA": "L"}.get(mode, mode)
        space = self._space(base)
        pixels = space.own(colours) if space is not None else np.array(strip.convert(base))[:, 0]
        if lost is not None:
            wide = np.rint(pixels + lost.given_back(colours))
            pixels = np.clip(wide, 0, 255).astype(np.uint8)
        key = self.image.info.get("transparency")
        if key is not None and mode == base:  # new pixels must not turn transparent by chance
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
        elif rgba.mode == "RGBA" and len(entries):
            usable &= entries[:, 3] == 255
        if not len(entries):
            raise ImageError("the picture's palette is empty; save it anew, as RGB")
        if not usable.any():
            usable[:] = True
        space = self._space("RGB")
        if space is not None:
            shown = space.seen(Image.fromarray(entries[:, None, :3].astype(np.uint8)))
            entries = np.asarray(shown)[:, 0].astype(np.int32)
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
    if source.deep is not None:
        whole = np.pad(source.deep.values, [(top, bottom), (left, right), (0, 0)], mode="edge")
        image.info[DEEP] = Deep(whole, source.deep.peak)
    return Source(image)


def same_outside(source: Image.Image, result: Image.Image, box: Box, mask: Mask) -> bool:
    """Whether every pixel outside ``mask`` (covering ``box``) is the same in both pictures, to the
    bit: of floating-point numbers those that are none too."""
    if (source.mode, source.size) != (result.mode, result.size):
        return False
    deep = [image.info.get(DEEP) for image in (source, result)]
    if (deep[0] is None) != (deep[1] is None):
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
        if isinstance(deep[0], Deep) and isinstance(deep[1], Deep):
            differs = differs | (deep[0].values[begin:end] != deep[1].values[begin:end])
        first, last = max(begin, top), min(end, bottom)
        if first < last:
            inside = differs[first - begin : last - begin, left:right]
            inside[mask[first - top : last - top]] = False
        if differs.any():
            return False
    return True


def blank(size: tuple[int, int]) -> Source:
    """A picture (width, height) of which nothing is known yet."""
    return Source(Image.new("RGB", size))
