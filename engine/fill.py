"""Spreading known values over a hole: classical fills.

A picture here is (S, S, 3) float32 in 0..255, a hole (S, S) bool.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.pixels import Mask, to_bytes

Floats = NDArray[Any]

PULL = 4.0  # a coarse cell is trusted fully once a quarter of what it saw was known


def fill_hole(pixels: Floats, hole: Mask, method: str) -> Floats:
    """Fill ``hole`` of an (S, S, 3) picture.

    ``method`` is telea or navier_stokes (OpenCV's), push_pull, mirror or mean.
    """
    if hole.all():
        return np.full_like(pixels, 127.5)
    if method in ("telea", "navier_stokes"):
        flag = cv2.INPAINT_TELEA if method == "telea" else cv2.INPAINT_NS
        flat = cv2.inpaint(to_bytes(pixels), hole.astype(np.uint8), 3, flag).astype(np.float32)
        return np.where(hole[..., None], flat, pixels)
    if method == "mean":
        return np.where(hole[..., None], pixels[~hole].mean(axis=0), pixels).astype(np.float32)
    known = ~hole
    if method == "mirror":
        pixels, known = mirror(pixels, known)
    smooth = push_pull(pixels, known.astype(np.float32))
    return np.where(known[..., None], pixels, smooth).astype(np.float32)


def mirror(pixels: Floats, known: Mask) -> tuple[Floats, Mask]:
    """Reflect the known area sideways into the hole; the picture, and what is known then.

    Row by row at the nearest known pixel: sky goes on beside sky and ground beside ground, where a
    smooth fill fades to one colour. Never upward or downward: no ground above the sky.
    """
    side = known.shape[1]
    column = np.broadcast_to(np.arange(side), known.shape)
    before = np.maximum.accumulate(np.where(known, column, -2 * side), axis=1)
    after = np.where(known, column, 3 * side)[:, ::-1]
    after = np.minimum.accumulate(after, axis=1)[:, ::-1]
    nearest = np.where(column - before <= after - column, before, after)
    source = 2 * nearest - column
    inside = np.clip(source, 0, side - 1)
    found = (source == inside) & np.take_along_axis(known, inside, axis=1)
    reflected = np.take_along_axis(pixels, inside[..., None], axis=1)
    return np.where(found[..., None], reflected, pixels), found


def push_pull(values: Floats, weight: Floats) -> Floats:
    """Spread weighted values (S, S, C) smoothly over the whole square (Gortler et al. 1996, 3.4).

    Averages are pushed up a pyramid until every cell knows something, then pulled down again
    wherever the finer level has too little weight of its own.
    """
    side = values.shape[0]
    if side == 1 or float(weight.min()) >= 1:
        return values
    total = cv2.pyrDown(weight)
    mixed = cv2.pyrDown(values * weight[..., None]).reshape(*total.shape, -1)
    average = mixed / np.maximum(total, 1e-8)[..., None]
    coarse = push_pull(average, np.minimum(total * PULL, 1))
    finer = cv2.pyrUp(coarse, dstsize=(side, side)).reshape(side, side, -1)
    own = weight[..., None]
    spread: Floats = values * own + finer * (1 - own)
    return spread
