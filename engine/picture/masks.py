"""Mask pictures and arrays as one kind of array: True where the picture is to be regenerated."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.arrays import MaskLike
from engine.errors import MaskError


def mask_array(mask: MaskLike) -> NDArray[np.bool_]:
    """A mask picture or array as bool (H, W): True where at least half white.

    A picture with alpha counts what is painted: its alpha, where any of it is not opaque.
    """
    values = mask if isinstance(mask, np.ndarray) else _grey(mask)
    if values.ndim != 2 or values.dtype.kind not in "buif":
        raise MaskError(
            f"mask: expected an array (height, width) of numbers or bool, got shape {values.shape} "
            f"of {values.dtype}; pass one channel"
        )
    if values.dtype == np.bool_:
        return values
    highest = float(values.max(initial=0))
    peak = 255.0 if values.dtype == np.uint8 and highest > 1 else max(highest, 1.0)
    painted: NDArray[np.bool_] = values >= peak / 2
    return painted


def _grey(picture: Image.Image) -> NDArray[Any]:
    """A mask picture as numbers (H, W)."""
    try:
        if picture.mode in ("RGBA", "LA", "PA"):
            alpha = np.asarray(picture.getchannel("A"))
            if alpha.min(initial=255) < 255:
                return alpha
        elif picture.mode in ("1", "L"):
            return np.asarray(picture)
        elif picture.mode.startswith("I") or picture.mode == "F":
            return np.asarray(picture).astype(np.float64)
        return np.asarray(picture.convert("L"))
    except (ValueError, OSError) as error:  # no conversion, or a file that ends too early
        raise MaskError(
            f"mask: a picture of mode {picture.mode} that cannot be read as grey ({error}); "
            "give it in mode L, white where the picture is to be regenerated"
        ) from None
