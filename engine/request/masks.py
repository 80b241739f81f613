"""Mask pictures and arrays as one kind of array: True where the picture is to be regenerated.

How a mask picture is read (`READING`): any paint on black counts, of whatever colour, and so does
any paint on nothing. Where both could be meant, in a black and white picture with alpha, the
colours decide: a stray pixel that is not quite opaque says nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.arrays import MaskLike
from engine.errors import MaskError

READING = (
    "white or any colour on black, or anything painted on a transparent ground, is what will be "
    "regenerated"
)
DUST = 1 / 1000  # a share of the pixels below which what is hardly there is no mask
DARK = 8  # levels of 255 up to which a pixel counts as black
SOFT = 0.4  # a share of what is painted from which on a mask is called soft


def mask_array(mask: MaskLike) -> NDArray[np.bool_]:
    """A mask picture or array as bool (H, W), cut at half of white."""
    return read_mask(mask)[0]


def read_mask(mask: MaskLike) -> tuple[NDArray[np.bool_], tuple[str, ...]]:
    """A mask picture or array as bool (H, W), and notes on how it was read.

    Of an array, and of what is painted, that counts which is at least half white: half of 255, or
    of the brightest value where that is less than half itself.
    """
    if isinstance(mask, np.ndarray):
        values = mask
        if values.ndim != 2 or values.dtype.kind not in "buif":
            raise MaskError(
                f"mask: expected an array (height, width) of numbers or bool, got shape "
                f"{values.shape} of {values.dtype}; pass one channel"
            )
        if values.dtype == np.bool_:
            return values, ()
        highest = float(values.max(initial=0))
        peak = 255.0 if values.dtype == np.uint8 and highest > 1 else max(highest, 1.0)
    else:
        values, white = _paint(mask)
        highest = float(values.max(initial=0))
        dust = highest <= white * DARK / 255 and (values > 0).mean() < DUST
        peak = white if dust or highest >= white / 2 else max(highest, 1e-9)
    painted: NDArray[np.bool_] = values >= peak / 2
    between = ((values > peak * 0.1) & (values < peak * 0.9)).sum()
    notes: tuple[str, ...] = ()
    if between > SOFT * max(int(painted.sum()), 1):
        notes = (
            f"the mask is soft: it was cut at half of its white ({peak / 2:g} of {peak:g}); "
            "feather softens the edit's edge",
        )
    return painted, notes


def nothing_in(mask: MaskLike) -> str:
    """The words for a mask that selects nothing."""
    reason = "the mask is empty"
    if isinstance(mask, Image.Image):
        values, white = _paint(mask)
        highest = float(values.max(initial=0))
        if highest > 0:
            reason = f"the mask selects nothing: its brightest value is {highest:g} of {white:g}"
    return f"{reason}; paint over the part that is to be regenerated ({READING})"


def _paint(picture: Image.Image) -> tuple[NDArray[Any], float]:
    """How much is painted, (H, W), and the value that is white."""
    mode = picture.mode
    try:
        if mode.startswith("I") or mode == "F":
            deep = np.nan_to_num(np.asarray(picture).astype(np.float64))
            high = float(deep.max(initial=0))
            return deep, high if mode == "F" and high > 0 else 255.0 if high <= 255 else high
        if mode == "1":
            return np.asarray(picture).astype(np.uint8) * 255, 255.0
        if mode == "L" and "transparency" not in picture.info:
            return np.asarray(picture), 255.0
        if mode in ("RGBA", "LA", "PA", "P") or "transparency" in picture.info:
            rgba = np.asarray(picture.convert("RGBA"))
            return _with_alpha(rgba[..., :3], rgba[..., 3]), 255.0
        if mode == "LAB":
            raise ValueError("it has no black")
        return np.asarray(picture.convert("RGB")).max(axis=2), 255.0
    except (ValueError, OSError, IndexError) as error:  # no conversion, or a file that ends early
        raise MaskError(
            f"mask: a picture of mode {mode} that cannot be read as grey ({error}); "
            "give it in mode L, white where the picture is to be regenerated"
        ) from None


def _with_alpha(rgb: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """How much is painted in a picture with alpha: (H, W, 3) colours, (H, W) alpha."""
    bright = rgb.max(axis=2)
    clear = alpha < 128
    on_black = np.where(clear, 0, bright).astype(np.uint8)
    share = clear.mean() if clear.size else 0.0
    if share == 0:
        return on_black
    opaque = rgb[~clear]
    black = (opaque.max(axis=1) <= DARK).mean() if len(opaque) else 0.0
    contrast = 0 < black < 1
    if share < DUST and (contrast or black == 1):
        return on_black
    if contrast and black >= 0.05 and _plain(opaque):
        return on_black
    return alpha


def _plain(colours: NDArray[np.uint8]) -> bool:
    """Whether colours (N, 3) are a mask's: greys, or two colours and little else."""
    some = colours[:: len(colours) // 100_000 + 1].astype(np.int64)
    if (np.ptp(some, axis=1) <= DARK).mean() > 0.99:
        return bool((some.min(axis=1) >= 247).mean() >= 0.01)
    counts = np.bincount((some // 32 * (64, 8, 1)).sum(axis=1))
    return bool(np.sort(counts)[-2:].sum() >= 0.95 * len(some))
