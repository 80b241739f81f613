"""Patches as vectors: what a search for like patches compares.

A picture is (H, W, 3) float32 in 0..255. A patch is the square of ``SIZE`` pixels around a pixel;
its vector holds the patch's lowest frequencies, scaled so that the squared distance of two vectors
is the mean over the patch's pixels of their squared distance, as far as those frequencies go.
"""

from __future__ import annotations

import cv2
import numpy as np

from engine.arrays import Floats

RADIUS = 3
SIZE = 2 * RADIUS + 1
LIGHT_ORDER = 4  # highest u + v of the frequencies that count, of light ...
COLOUR_ORDER = 1  # ... and of the two colours

# Orthonormal, so distances stay what they are: light, red to blue, green to purple.
OPPONENT = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]], np.float32)
OPPONENT /= np.linalg.norm(OPPONENT, axis=1, keepdims=True)


def opponent(picture: Floats) -> Floats:
    """Light and two colours in the place of red, green and blue."""
    turned: Floats = cv2.transform(picture, OPPONENT)
    return turned


def cosines(size: int = SIZE) -> Floats:
    """The orthonormal DCT-II: row u is the cosine of frequency u over ``size`` samples."""
    places = (np.arange(size) + 0.5) * np.pi / size
    rows = np.cos(np.arange(size)[:, None] * places) * np.sqrt(2 / size)
    rows[0] /= np.sqrt(2)
    table: Floats = rows.astype(np.float32)
    return table


def vectors(picture: Floats) -> Floats:
    """The patch around every pixel, (H, W, D); the picture is mirrored at its border."""
    waves = cosines() / np.sqrt(SIZE)
    found = []
    for channel, plane in enumerate(cv2.split(opponent(picture))):
        order = COLOUR_ORDER if channel else LIGHT_ORDER
        for u in range(order + 1):
            for v in range(order + 1 - u):
                found.append(
                    cv2.sepFilter2D(
                        plane, -1, waves[u], waves[v], borderType=cv2.BORDER_REFLECT_101
                    )
                )
    stacked: Floats = cv2.merge(found)
    return stacked
