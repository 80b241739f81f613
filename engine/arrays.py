"""The arrays that rooms hand to each other: what they are called, and what is asked of them most.

No picture file, no network: shapes and numbers only.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

RGB = NDArray[np.uint8]
"""A picture (H, W, 3) in 0..255."""

Floats = NDArray[Any]
"""A picture (H, W, 3) or a map (H, W), float32; colours in 0..255."""

Mask = NDArray[np.bool_]
"""(H, W), True where the picture is to be regenerated."""

MaskLike = Image.Image | NDArray[Any]
"""A mask as it is given: a picture, or an array (H, W)."""

Box = tuple[int, int, int, int]
"""left, top, right, bottom, in pixels; right and bottom lie outside."""


@dataclass(frozen=True)
class Window:
    """Where the frame sits in the picture: a square; it may reach beyond the canvas."""

    left: int
    top: int
    side: int

    def within(self, width: int, height: int) -> Box:
        """The part of the square that lies on the canvas."""
        return (
            max(self.left, 0),
            max(self.top, 0),
            min(self.left + self.side, width),
            min(self.top + self.side, height),
        )


def to_bytes(rgb: NDArray[Any]) -> RGB:
    """RGB floats in 0..255, rounded and clipped to uint8."""
    rounded: RGB = np.clip(np.rint(rgb), 0, 255).astype(np.uint8)
    return rounded


def fingerprint(*arrays: NDArray[Any]) -> bytes:
    """A key of what arrays hold: shapes, types and every byte (BLAKE2b, 128 bits)."""
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        digest.update(f"{array.shape}{array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.digest()
