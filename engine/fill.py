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
    smooth = push_pull(pixels, (~hole).astype(np.float32))
    filled: Floats = np.where(hole[..., None], smooth, pixels)
    return mirror(filled, hole) if method == "mirror" else filled


def mirror(filled: Floats, hole: Mask) -> Floats:
    """The known area reflected into the hole at the nearest point of its edge.

    Layout goes on across the edge (sky beside sky, ground beside ground), where a smooth fill
    fades to one colour. Where the reflection is not known either, ``filled`` stays.
    """
    _, labels = cv2.distanceTransformWithLabels(
        hole.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    known = np.argwhere(~hole)
    place = np.zeros((labels.max() + 1, 2), np.int64)
    place[labels[tuple(known.T)]] = known
    inside = np.argwhere(hole)
    reflected = 2 * place[labels[tuple(inside.T)]] - inside
    fits = ((reflected >= 0) & (reflected < hole.shape)).all(axis=1)
    inside, reflected = inside[fits], reflected[fits]
    fits = ~hole[tuple(reflected.T)]
    result = filled.copy()
    result[tuple(inside[fits].T)] = filled[tuple(reflected[fits].T)]
    return result


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
