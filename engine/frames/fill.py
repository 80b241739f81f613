"""Spreading known values over a hole: classical fills.

A picture here is (S, S, 3) float32 in 0..255, a hole (S, S) bool.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.arrays import Floats, Mask

STRIP = 0.2  # width, as a part of the side, of what is drawn out sideways
PULL = 4.0  # a coarse cell is trusted fully once a quarter of what it saw was known


def fill_hole(pixels: Floats, hole: Mask, method: str) -> Floats:
    """Fill ``hole`` of an (S, S, 3) picture.

    ``method`` is telea (OpenCV's; "navier_stokes" for comparisons), push_pull, or sideways. OpenCV
    fills bytes brighter with every pixel of depth, since it rounds up; of floats, a channel at a
    time, it does not.
    """
    if hole.all():
        return np.full_like(pixels, 127.5)
    if method in ("telea", "navier_stokes"):
        flag = cv2.INPAINT_TELEA if method == "telea" else cv2.INPAINT_NS
        where = hole.astype(np.uint8)
        planes = [cv2.inpaint(np.ascontiguousarray(plane), where, 3, flag) for plane in
                  np.moveaxis(pixels.astype(np.float32), 2, 0)]  # fmt: skip
        return np.where(hole[..., None], np.stack(planes, axis=2), pixels)
    known = ~hole
    if method == "sideways":
        pixels, known = sideways(pixels, known)
    smooth = push_pull(pixels, known.astype(np.float32))
    return np.where(known[..., None], pixels, smooth).astype(np.float32)


def sideways(pixels: Floats, known: Mask) -> tuple[Floats, Mask]:
    """Draw the edge of the known area out sideways; the picture, and what is known then.

    Row by row the median of the nearest known pixels, over a strip: a horizon goes on, and a thing
    further inside, or one that the strip only touches, does not come again.
    """
    side = known.shape[1]
    nearest = _nearest(known)
    towards = np.where(nearest < np.arange(side), -1, 1)  # from the hole on into the known area
    rows, columns = np.nonzero(~known & (nearest >= 0) & (nearest < side))
    edge, into = nearest[rows, columns], towards[rows, columns]
    places, which = np.unique(np.stack([rows, edge, into]), axis=1, return_inverse=True)
    along = np.arange(0, max(int(side * STRIP), 1), 2)
    across = places[1][:, None] + places[2][:, None] * along  # (N, n)
    inside = np.clip(across, 0, side - 1)
    there = (across == inside) & known[places[0][:, None], inside]
    strip = np.where(there[..., None], pixels[places[0][:, None], inside], np.nan)
    values = np.nanmedian(strip, axis=1)  # (N, 3); the edge itself is always known
    drawn, found = pixels.copy(), known.copy()
    drawn[rows, columns] = values[which.reshape(-1)]
    found[rows, columns] = True
    return drawn, found


def _nearest(known: Mask) -> NDArray[np.int64]:
    """The column of the nearest known pixel of each one's row; far outside if there is none."""
    side = known.shape[1]
    column = np.broadcast_to(np.arange(side), known.shape)
    before = np.maximum.accumulate(np.where(known, column, -2 * side), axis=1)
    after = np.where(known, column, 3 * side)[:, ::-1]
    after = np.minimum.accumulate(after, axis=1)[:, ::-1]
    return np.where(column - before <= after - column, before, after)


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
