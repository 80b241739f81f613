"""Colour spaces: what a profile means, told by its numbers, and the way to sRGB and back.

The model sees sRGB. What it draws goes back into the picture's own space, and takes along what
sRGB cannot say: the picture's own pixels show which of its colours each clipped one stands for
(`Gamut`).
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from engine.arrays import Floats

SPACES = {"L": "GRAY", "RGB": "RGB ", "CMYK": "CMYK"}
SAME = 2  # levels by which a profile may differ from sRGB and still be it
GRID = 1 << 12  # steps of a curve
PCS_TO_SRGB = np.linalg.inv(  # Bradford-adapted sRGB, from XYZ at D50 (ICC.1:2022, annex F)
    np.array(
        [[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]]
    )
)
D50 = np.array([0.9642, 1.0, 0.8249])
BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
SRGB_XY = ((0.3127, 0.3290), (0.64, 0.33), (0.30, 0.60), (0.15, 0.06))  # white, red, green, blue
PRIMARIES = {  # of ITU-T H.273: white, red, green, blue
    1: SRGB_XY,
    5: ((0.3127, 0.3290), (0.64, 0.33), (0.29, 0.60), (0.15, 0.06)),
    6: ((0.3127, 0.3290), (0.63, 0.34), (0.31, 0.595), (0.155, 0.07)),
    9: ((0.3127, 0.3290), (0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    12: ((0.3127, 0.3290), (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0}  # and the curve of sRGB for the others of H.273 that are not HDR
LIKE_SRGB = (1, 6, 13, 14, 15)


def srgb_curve(value: Floats) -> Floats:
    """Light in 0..1 as sRGB encodes it."""
    value = np.clip(value, 0, 1)
    return np.where(value <= 0.0031308, 12.92 * value, 1.055 * value ** (1 / 2.4) - 0.055)


def srgb_light(value: Floats) -> Floats:
    """The light in 0..1 that an sRGB value stands for."""
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


@dataclass(frozen=True, eq=False)
class Matrix:
    """A profile of curves and, for RGB, a matrix: exact for any depth. Values in 0..1."""

    curves: tuple[Floats, ...]  # light at 0, 1 / GRID, ..., 1
    to_srgb: Floats | None  # (3, 3) light; None for grey

    def seen(self, values: Floats) -> NDArray[np.uint8]:
        """Own values (..., C) as sRGB (..., 3) bytes; what sRGB has no colour for is clipped."""
        at = np.linspace(0, 1, GRID + 1)
        light = np.stack(
            [np.interp(values[..., i], at, curve) for i, curve in enumerate(self.curves)], -1
        )
        light = np.repeat(light, 3, -1) if self.to_srgb is None else light @ self.to_srgb.T
        shown: NDArray[np.uint8] = np.rint(srgb_curve(light) * 255).astype(np.uint8)
        return shown

    def own(self, rgb: NDArray[np.uint8]) -> Floats:
        """sRGB bytes (..., 3) as own values (..., C)."""
        light = srgb_light(np.arange(256) / 255)[rgb]
        if self.to_srgb is None:
            light = light @ np.linalg.inv(PCS_TO_SRGB)[1][:, None]
        else:
            light = np.clip(light @ np.linalg.inv(self.to_srgb).T, 0, 1)
        at = np.linspace(0, 1, GRID + 1)
        own = [np.interp(light[..., i], curve, at) for i, curve in enumerate(self.curves)]
        return np.stack(own, -1)


@dataclass(frozen=True, eq=False)
class Space:
    """A colour space other than sRGB, of pictures of ``mode`` (L, RGB or CMYK)."""

    mode: str
    there: Any  # to sRGB
    back: Any  # from sRGB
    matrix: Matrix | None

    def seen(self, part: Image.Image) -> Image.Image:
        """A picture of 8 bits in this space as sRGB."""
        shown = ImageCms.applyTransform(part, self.there)
        assert shown is not None
        return shown

    def own(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """sRGB colours (N, 3) in this space, (N,) or (N, C) bytes."""
        converted = ImageCms.applyTransform(Image.fromarray(rgb[:, None]), self.back)
        assert converted is not None
        return np.array(converted)[:, 0]

    def own_deep(self, rgb: NDArray[np.uint8], peak: int) -> Floats:
        """The same for more than 8 bits: (N, C) float in 0..peak."""
        if self.matrix is not None:
            return self.matrix.own(rgb) * peak
        return self.own(rgb).reshape(len(rgb), -1).astype(np.float64) * (peak / 255)


def fits(icc: bytes, mode: str) -> bool:
    """Whether a profile is one for pictures of a mode: grey ones are not for colour."""
    grey = mode in ("1", "L", "LA", "F") or mode.startswith("I")
    kind = "L" if grey else "CMYK" if mode == "CMYK" else "RGB"
    return icc[16:20] == SPACES[kind].encode()


@lru_cache(maxsize=8)
def space_of(icc: bytes, mode: str) -> Space | None:
    """The space of a profile for a mode, or None: sRGB itself, or a profile nobody can use."""
    if mode not in SPACES or icc[16:20] != SPACES[mode].encode():
        return None
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        srgb = ImageCms.createProfile("sRGB")
        intent = ImageCms.Intent.PERCEPTUAL if mode == "CMYK" else (
            ImageCms.Intent.RELATIVE_COLORIMETRIC
        )
        there = ImageCms.buildTransform(profile, srgb, mode, "RGB", intent)
        back = ImageCms.buildTransform(srgb, profile, "RGB", mode, intent)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    space = Space(mode, there, back, _matrix(icc))
    if mode == "RGB":
        steps = np.linspace(0, 255, 9).round().astype(np.uint8)
        colours = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(-1, 1, 3)
    elif mode == "L":
        colours = np.arange(256, dtype=np.uint8)[:, None]
    else:
        return space
    shown = np.asarray(space.seen(Image.fromarray(colours))).astype(int)
    wanted = colours.astype(int) if mode == "RGB" else colours[..., None].astype(int)
    return None if np.abs(shown - wanted).max() <= SAME else space


def readable(icc: bytes) -> bool:
    """Whether a profile can be read at all."""
    try:
        ImageCms.ImageCmsProfile(io.BytesIO(icc))
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return False
    return True


def _matrix(icc: bytes) -> Matrix | None:
    """The curves and matrix of a profile (ICC.1:2022, 8.3 and 10); None if it has others."""
    try:
        (count,) = struct.unpack(">I", icc[128:132])
        tags = {}
        for index in range(min(count, 100)):
            name, at, size = struct.unpack(">4sII", icc[132 + 12 * index : 144 + 12 * index])
            tags[name] = icc[at : at + size]
        if b"A2B0" in tags:
            return None
        if icc[16:20] == b"GRAY":
            return Matrix((_curve(tags[b"kTRC"]),), None)
        curves = tuple(_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC"))
        columns = [
            np.array(struct.unpack(">iii", tags[name][8:20])) / 65536
            for name in (b"rXYZ", b"gXYZ", b"bXYZ")
        ]
        return Matrix(curves, PCS_TO_SRGB @ np.stack(columns, 1))
    except (KeyError, struct.error, ValueError, IndexError):
        return None


def _curve(tag: bytes) -> Floats:
    """Light at 0, 1 / GRID, ..., 1 of a curve."""
    x = np.linspace(0, 1, GRID + 1)
    if tag[:4] == b"curv":
        (count,) = struct.unpack(">I", tag[8:12])
        if count == 0:
            return x
        table = np.frombuffer(tag, ">u2", count, 12).astype(np.float64)
        if count == 1:
            return np.asarray(np.power(x, table[0] / 256))
        return np.interp(x, np.linspace(0, 1, count), table / 65535)
    if tag[:4] != b"para":
        raise ValueError("not a curve")
    (kind,) = struct.unpack(">H", tag[8:10])
    numbers = (1, 3, 4, 5, 7)[kind]
    given = [value / 65536 for value in struct.unpack(f">{numbers}i", tag[12 : 12 + 4 * numbers])]
    g, a, b, c, d, e, f = (given + [1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0][numbers:])[:7]
    if kind in (1, 2):
        d, e, f, c = -b / a, c, c, 0.0
    power = np.power(np.maximum(a * x + b, 0), g) + e
    light = power if kind == 0 else np.where(x >= d, power, c * x + f)
    return np.asarray(np.clip(light, 0, 1))


def made_profile(xy: tuple[tuple[float, float], ...], gamma: float | None) -> bytes:
    """An ICC profile of primaries (white, red, green, blue) and a gamma; None is sRGB's curve."""
    white, *colours = (np.array([x / y, 1, (1 - x - y) / y]) for x, y in xy)
    primaries = np.stack(colours, 1)
    primaries = primaries * np.linalg.solve(primaries, white)
    adapted = np.linalg.inv(BRADFORD) @ np.diag(BRADFORD @ D50 / (BRADFORD @ white)) @ BRADFORD
    fixed = np.rint(adapted @ primaries * 65536).astype(int)
    if gamma is None:
        values = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
        curve = struct.pack(">4sIHH5i", b"para", 0, 3, 0, *(round(v * 65536) for v in values))
    else:
        curve = struct.pack(">4sIHHi", b"para", 0, 0, 0, round(gamma * 65536))
    words = "as the file's numbers say"
    text = struct.pack(">4sIII2s2sII", b"mluc", 0, 1, 12, b"en", b"US", 2 * len(words), 28)
    text += words.encode("utf-16-be")
    point = tuple(round(v * 65536) for v in D50)
    tags = {b"desc": text, b"cprt": text, b"wtpt": struct.pack(">4sI3i", b"XYZ ", 0, *point)}
    for index, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ")):
        tags[name] = struct.pack(">4sI3i", b"XYZ ", 0, *(int(v) for v in fixed[:, index]))
    tags |= {b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
    table, body = struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        table += struct.pack(">4sII", name, 132 + 12 * len(tags) + len(body), len(data))
        body += data + b"\0" * (-len(data) % 4)
    head = struct.pack(">I4sI4s4s4s12s4s", 0, b"\0" * 4, 0x04300000, b"mntr", b"RGB ", b"XYZ ",
                       b"\x07\xe8\0\1\0\1" + b"\0" * 6, b"acsp")  # fmt: skip
    head = head.ljust(68, b"\0") + struct.pack(">3i", *point)
    whole = head.ljust(128, b"\0") + table + body
    return struct.pack(">I", len(whole)) + whole[4:]


@dataclass(frozen=True, eq=False)
class Gamut:
    """What the colours of a picture lose on the way to sRGB and back, by the colour it becomes.

    ``lost`` (N, N, N, C) is the mean of what is lost, in 0..255, by sRGB colour; nothing where the
    picture has no colour near it.
    """

    lost: Floats

    STEP = 8  # levels of a cell

    @classmethod
    def of(cls, own: Floats, seen: NDArray[np.uint8], again: Floats) -> Gamut | None:
        """From pixels: own values (N, C), the sRGB (N, 3) they show, and own values of that again.

        None where nothing is lost beyond rounding.
        """
        lost = own - again
        lost[np.abs(lost).max(1) < 2] = 0
        if not lost.any():
            return None
        side, channels = 256 // cls.STEP, lost.shape[1]
        cells = seen.astype(np.int64) // cls.STEP
        place = (cells[:, 0] * side + cells[:, 1]) * side + cells[:, 2]
        sums: list[NDArray[Any]] = [
            np.bincount(place, lost[:, channel], side**3) for channel in range(channels)
        ]
        sums.append(np.bincount(place, minlength=side**3) / 1.0)
        spread: NDArray[Any] = np.stack(sums, -1) / len(lost)
        for axis in range(3):
            lines = np.moveaxis(spread.reshape(side, side, side, -1), axis, 0)
            flat = np.ascontiguousarray(lines).reshape(side, -1)
            flat = cv2.GaussianBlur(flat, (1, 25), 0, sigmaY=1.5, borderType=cv2.BORDER_CONSTANT)
            spread = np.moveaxis(flat.reshape(lines.shape), 0, axis)
        weight = spread[..., -1:]
        return cls(np.asarray(spread[..., :-1] / (weight + 1e-4), np.float32))

    def given_back(self, rgb: NDArray[np.uint8]) -> Floats:
        """What is to be added to own values of sRGB colours (N, 3): (N, C)."""
        place = np.clip((rgb.astype(np.float32) + 0.5) / self.STEP - 0.5, 0, len(self.lost) - 1)
        low = np.minimum(place.astype(np.int64), len(self.lost) - 2)
        share = place - low
        total = np.zeros((len(rgb), self.lost.shape[-1]), np.float32)
        for corner in np.ndindex(2, 2, 2):
            by = np.prod(np.where(corner, share, 1 - share), axis=1)
            at = low + np.array(corner)
            total += self.lost[at[:, 0], at[:, 1], at[:, 2]] * by[:, None]
        return total
