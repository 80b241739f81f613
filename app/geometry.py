"""Another shape for a picture: quarter turns, straightening, a crop, another size; and the same for
what is painted on it.

Quarter turns and crops move pixels and change none. Straightening and another size resample, each
once. A picture keeps its mode (a palette becomes its colours where it is resampled), its profile
and what its file said; pixels of more than 8 bits stay so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.errors import ImageError
from engine.picture.depth import DEEP, deep_of
from engine.request.pictures import check_size

LEAST = 16  # pixels: no side may become shorter
STEEPEST = 45.0  # degrees to straighten by
TURNS = (None, Image.Transpose.ROTATE_270, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_90)
LONGEST = 32_766  # pixels of a side that OpenCV turns

Pixels = NDArray[Any]
Size = tuple[int, int]  # width, height


@dataclass(frozen=True)
class Framing:
    """What to make of a picture, in this order: ``turns`` quarter turns clockwise, ``angle``
    degrees clockwise about the middle, then the part in ``box``, then ``width`` pixels across.

    ``box`` is (left, top, right, bottom) in parts of the turned picture's width and height, 0 to 1
    for all of it. It lies upright while the picture is straightened below it, and must show nothing
    but picture (``holds``). ``width`` 0 keeps the size.
    """

    turns: int = 0
    angle: float = 0.0
    box: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    width: int = 0

    def turned(self, size: Size) -> Size:
        return size if self.turns % 2 == 0 else (size[1], size[0])

    def pixels(self, size: Size) -> tuple[int, int, int, int]:
        """``box`` in pixels of the turned picture, for a picture of ``size``."""
        width, height = self.turned(size)
        left, top, right, bottom = self.box
        x, y = round(left * width), round(top * height)
        return x, y, max(x + 1, round(right * width)), max(y + 1, round(bottom * height))

    def size(self, size: Size) -> Size:
        """What a picture of ``size`` becomes; ImageError if that is too small."""
        left, top, right, bottom = self.pixels(size)
        wide, high = right - left, bottom - top
        if self.width:
            wide, high = self.width, max(1, round(self.width * high / wide))
        if min(wide, high) < min(LEAST, *size):
            raise ImageError(f"{wide}x{high} pixels is too small; keep at least {LEAST} a side")
        return wide, high

    def changes(self, size: Size) -> bool:
        """Whether a picture of ``size`` becomes another."""
        whole = (0, 0, *self.turned(size))
        return bool(
            self.turns % 4 or self.angle or self.pixels(size) != whole or self.size(size) != size
        )

    def holds(self, size: Size, slack: float = 1.5) -> bool:
        """Whether the box shows nothing beyond the picture, but for ``slack`` pixels."""
        width, height = self.turned(size)
        sine, cosine = math.sin(math.radians(self.angle)), math.cos(math.radians(self.angle))
        left, top, right, bottom = self.box
        for x in (left - 0.5, right - 0.5):
            for y in (top - 0.5, bottom - 0.5):
                across, down = x * width, y * height
                if abs(across * cosine + down * sine) > width / 2 + slack:
                    return False
                if abs(down * cosine - across * sine) > height / 2 + slack:
                    return False
        return True


def framed(image: Image.Image, framing: Framing) -> Image.Image:
    """The picture as ``framing`` says; ImageError where that leaves no picture, or too large a
    one."""
    size = framing.size(image.size)
    check_size(size)
    if not framing.holds(image.size):
        raise ImageError("the frame reaches beyond the picture; make it smaller")
    deep = deep_of(image)
    box = framing.pixels(image.size)
    info = {key: value for key, value in image.info.items() if key != DEEP}
    if deep is not None:
        values = _framed(np.rot90(deep.values, -framing.turns), framing.angle, box, size, deep.peak)
        return type(deep)(np.ascontiguousarray(values), deep.peak).picture(image.mode, info)
    way = TURNS[framing.turns % 4]
    turned = image.transpose(way) if way is not None else image
    if not framing.angle and size == (box[2] - box[0], box[3] - box[1]):
        out = turned.crop(box)
    else:
        out = _resampled(turned, framing.angle, box, size, info)
    out.info = info
    return out


def _resampled(
    image: Image.Image, angle: float, box: tuple[int, int, int, int], size: Size,
    info: dict[Any, Any],
) -> Image.Image:  # fmt: skip
    """The straightened part in ``box`` at another size; colours count by how opaque they are."""
    mode = image.mode
    if mode in ("1", "P", "PA"):
        clear = mode == "PA" or "transparency" in info
        mode = "L" if mode == "1" else "RGBA" if clear else "RGB"
        image = image.convert(mode)
    info.pop("transparency", None)
    work = {"RGBA": "RGBa", "LA": "La"}.get(mode, mode)
    values = np.asarray(image.convert(work) if work != mode else image)
    top = 255.0 if values.dtype == np.uint8 else float(values.max(initial=0))
    moved = np.ascontiguousarray(_framed(values, angle, box, size, top))
    if mode == "I;16B":
        moved = moved.astype(">u2")
    out = Image.frombytes(work, size, moved.tobytes())
    return out.convert(mode) if work != mode else out


def framed_mask(mask: Image.Image, framing: Framing, size: Size, shown: Size) -> Image.Image | None:
    """What is painted (mode L, 0 or 255, of a small copy of a picture of ``size``) moved as the
    picture is, for a small copy of ``shown``; None where nothing of it is left."""
    left, top, right, bottom = framing.pixels(size)
    turned = np.rot90(np.asarray(mask), -framing.turns)
    factor = turned.shape[1] / framing.turned(size)[0], turned.shape[0] / framing.turned(size)[1]
    a, b, c, d, e, f = _inverse(framing.turned(size), framing.angle, (left, top, right, bottom))
    wide, high = (right - left) / shown[0], (bottom - top) / shown[1]
    # from a pixel's middle of the new copy to the picture, turned, and on to the old copy
    across = np.array([a * wide, b * high, c]) * factor[0]
    down = np.array([d * wide, e * high, f]) * factor[1]
    matrix = np.stack([across, down])
    matrix[:, 2] += matrix[:, :2].sum(axis=1) / 2 - 0.5
    moved = cv2.warpAffine(
        np.ascontiguousarray(turned), matrix, shown,
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_CONSTANT,
    )  # fmt: skip
    kept = (moved >= 128).astype(np.uint8) * 255
    return Image.fromarray(kept) if kept.any() else None


def _inverse(
    size: Size, angle: float, box: tuple[int, int, int, int]
) -> tuple[float, float, float, float, float, float]:
    """Where in a picture of ``size`` a place of the box lies, once the picture is turned clockwise
    by ``angle`` degrees about its middle: (a, b, c, d, e, f) of x' = ax + by + c,
    y' = dx + ey + f."""
    sine, cosine = math.sin(math.radians(angle)), math.cos(math.radians(angle))
    x, y = box[0] - size[0] / 2, box[1] - size[1] / 2
    return (
        cosine, sine, cosine * x + sine * y + size[0] / 2,
        -sine, cosine, -sine * x + cosine * y + size[1] / 2,
    )  # fmt: skip


def _framed(
    values: Pixels, angle: float, box: tuple[int, int, int, int], size: Size, top: float
) -> Pixels:
    """The same for an array (H, W) or (H, W, C) whose white is ``top``; beyond its edge
    lies more of the edge."""
    kind = values.dtype
    if kind not in (np.uint8, np.uint16, np.float32):  # what OpenCV does not resample
        values = values.astype(np.float64)
    if not angle:
        out = values[box[1] : box[3], box[0] : box[2]]
    else:
        if max(values.shape[:2]) > LONGEST:
            raise ImageError(f"a side of more than {LONGEST} pixels; crop it before straightening")
        a, b, c, d, e, f = _inverse((values.shape[1], values.shape[0]), angle, box)
        middles = np.array([[a, b, c + (a + b) / 2 - 0.5], [d, e, f + (d + e) / 2 - 0.5]])
        out = cv2.warpAffine(
            np.ascontiguousarray(values), middles, (box[2] - box[0], box[3] - box[1]),
            flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
    if (out.shape[1], out.shape[0]) != size:
        how = cv2.INTER_AREA if size[0] < out.shape[1] else cv2.INTER_CUBIC
        out = cv2.resize(np.ascontiguousarray(out), size, interpolation=how)
    if kind != np.float32:
        out = np.rint(np.clip(out, 0, top))
    return np.asarray(out, kind)


def in_words(before: Size, after: Size, framing: Framing) -> str:
    """What was done, for the history: "Cropped", "Turned and resized"."""
    left, top, right, bottom = framing.pixels(before)
    done = [
        word
        for word, is_so in (
            ("turned", framing.turns % 4),
            ("straightened", framing.angle),
            ("cropped", not framing.angle and (left, top, right, bottom)
             != (0, 0, *framing.turned(before))),
            ("resized", after != (right - left, bottom - top)),
        )
        if is_so
    ]  # fmt: skip
    *first, last = done or ["unchanged"]
    text = f"{', '.join(first)} and {last}" if first else last
    return f"{text[:1].upper()}{text[1:]}"
