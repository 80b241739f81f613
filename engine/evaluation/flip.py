"""FLIP, the perceptual difference of two pictures at each pixel (Andersson et al. 2020).

What people notice when two pictures are flipped: a difference of colour as the eye resolves it,
raised by a difference of edges and points. The authors' package gives the same values and is the
oracle in the tests; this one is ten times as fast, and prepares a reference once for many tests.
Pictures are (S, S, 3), 0..255, sRGB; 0 is the same, 1 is black on white.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]

# The authors' screen: 0.7 m wide, 3840 pixels, 0.7 m away.
PIXELS_PER_DEGREE = 0.7 * 3840 / 0.7 * np.pi / 180
COLOUR_POWER, FEATURE_POWER = 0.7, 0.5
KNEE, KNEE_ERROR = 0.4, 0.95  # colour differences beyond this share of the largest are compressed
FEATURE_WIDTH = 0.082  # degrees
# The eye's contrast sensitivity: Gaussians a sqrt(pi / b) exp(-pi^2 x^2 / b) a channel, (a, b).
SENSITIVITY = (((1.0, 0.0047),), ((1.0, 0.0053),), ((34.1, 0.04), (13.5, 0.025)))
TO_XYZ = np.array(
    [[10135552 / 24577794, 8788810 / 24577794, 4435075 / 24577794],
     [2613072 / 12288897, 8788810 / 12288897, 887015 / 12288897],
     [1425312 / 73733382, 8788810 / 73733382, 70074185 / 73733382]], np.float32)  # fmt: skip
WHITE = TO_XYZ.sum(axis=1)
TO_RGB = np.linalg.inv(TO_XYZ.astype(np.float64)).astype(np.float32)


@dataclass(frozen=True)
class Seen:
    """A picture as the eye gets it: Hunt-adjusted L*a*b* and its edges and points (S, S)."""

    colour: Floats
    edges: Floats
    points: Floats


def see(picture: Floats) -> Seen:
    """The part of FLIP that knows one picture only."""
    srgb = (picture.astype(np.float32) / 255).clip(0, 1)
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    xyz = _times(linear, TO_XYZ) / WHITE
    opponent = np.stack(
        [116 * xyz[..., 1] - 16, 500 * (xyz[..., 0] - xyz[..., 1]),
         200 * (xyz[..., 1] - xyz[..., 2])], axis=-1)  # fmt: skip
    edges, points = _features((opponent[..., 0] + 16) / 116)
    blurred = np.stack(
        [_filtered(opponent[..., i], some) for i, some in enumerate(SENSITIVITY)], axis=-1
    )
    y = (blurred[..., 0] + 16) / 116
    back = np.stack([y + blurred[..., 1] / 500, y, y - blurred[..., 2] / 200], axis=-1) * WHITE
    return Seen(_hunt_lab(_times(back, TO_RGB).clip(0, 1)), edges, points)


def flip(reference: Seen, test: Seen) -> Floats:
    """The error at each pixel, (S, S), 0 to 1."""
    colour = _distance(reference.colour, test.colour) ** COLOUR_POWER
    knee = KNEE * LARGEST
    low = colour * (KNEE_ERROR / knee)
    high = KNEE_ERROR + (colour - knee) / (LARGEST - knee) * (1 - KNEE_ERROR)
    colour = np.where(colour < knee, low, high)
    features = np.maximum(
        np.abs(reference.edges - test.edges), np.abs(reference.points - test.points)
    )
    features = (features / 2**0.5).clip(0, 1) ** FEATURE_POWER
    error: Floats = colour ** (1 - features)
    return error


def _times(pixels: Floats, matrix: Floats) -> Floats:
    product: Floats = pixels @ matrix.T
    return product


def _convolved(plane: Floats, across: Floats, down: Floats) -> Floats:
    done: Floats = cv2.sepFilter2D(
        np.ascontiguousarray(plane, np.float32), cv2.CV_32F, across, down,
        borderType=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    return done


def _filtered(plane: Floats, gaussians: tuple[tuple[float, float], ...]) -> Floats:
    """A channel as far as the eye resolves it."""
    widest = 0.04
    radius = int(np.ceil(3 * np.sqrt(widest / (2 * np.pi**2)) * PIXELS_PER_DEGREE))
    x = np.arange(-radius, radius + 1) / PIXELS_PER_DEGREE
    total: Floats = np.zeros_like(plane, np.float32)
    weight = 0.0
    for a, b in gaussians:
        line = np.exp(-(np.pi**2) * x**2 / b)
        share = a * np.sqrt(np.pi / b) * line.sum() ** 2
        line = (line / line.sum()).astype(np.float32)
        total += np.float32(share) * _convolved(plane, line, line)
        weight += share
    return total / np.float32(weight)


def _features(light: Floats) -> tuple[Floats, Floats]:
    """Strength of edges (first derivative of a Gaussian) and of points (second)."""
    deviation = 0.5 * FEATURE_WIDTH * PIXELS_PER_DEGREE
    radius = int(np.ceil(3 * deviation))
    x = np.arange(-radius, radius + 1, dtype=np.float64)
    gauss = np.exp(-(x**2) / (2 * deviation**2))
    smooth = (gauss / gauss.sum()).astype(np.float32)
    strengths = []
    for line in (-x * gauss, (x**2 / deviation**2 - 1) * gauss):
        up, down = line.clip(0, None).sum(), -line.clip(None, 0).sum()
        kernel = np.where(line > 0, line / up, line / down).astype(np.float32)
        strengths.append(
            np.hypot(_convolved(light, kernel, smooth), _convolved(light, smooth, kernel))
        )
    return strengths[0], strengths[1]


def _hunt_lab(linear: Floats) -> Floats:
    """L*a*b* with the chroma that lightness lets the eye see."""
    xyz = _times(linear, TO_XYZ) / WHITE
    delta = 6 / 29
    f = np.where(xyz > delta**3, np.cbrt(xyz), xyz / (3 * delta**2) + 4 / 29)
    lightness = 116 * f[..., 1] - 16
    chroma = 0.01 * lightness
    return np.stack(
        [lightness, 500 * (f[..., 0] - f[..., 1]) * chroma, 200 * (f[..., 1] - f[..., 2]) * chroma],
        axis=-1,
    )


def _distance(a: Floats, b: Floats) -> Floats:
    """HyAB: lightness and chroma apart."""
    difference = a - b
    distance: Floats = np.abs(difference[..., 0]) + np.hypot(difference[..., 1], difference[..., 2])
    return distance


LARGEST = float(
    _distance(_hunt_lab(np.array([0.0, 1.0, 0.0])), _hunt_lab(np.array([0.0, 0.0, 1.0])))
    ** COLOUR_POWER
)
