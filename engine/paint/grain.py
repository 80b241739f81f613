"""Grain: fine texture that a small model cannot draw, carried from the known area into the hole.

What a decoder makes is softer than a photo, and a picture scaled up from the model's square softer
still, so a hole would show as a smooth patch. But what is fine in the picture beside it is known.
Patches of that are laid over the hole, each where the model's picture looks as it does at the
patch's own place, and as much of it as the model's picture lacks there (texture transfer by
patches, after Efros and Freeman 2001). Texture is as rough all over a patch; a patch that is rough
along a line only, as where a drawing's outline runs, is none and is not laid. The model's picture
decides what is seen; this only says how rough it is.

Pictures are (W, W, 3) float32 in 0..255, masks (W, W) bool.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.arrays import Floats, Mask

CELLS = 10  # patches of two cells, one a cell, overlap by half; so many cells to a side
LOOK = 4  # side of a patch as it is compared
UNLIKE = 28.0  # root mean square difference of colours at which a patch counts 1/e
AWAY = 8.0  # what the frame's whole side between patch and place counts, in the same unit
TWICE = 3.0  # what it counts that a patch was used already
ALIKE = 9.0  # patches that cost so much more than the best look as much like it
ROUGHNESS = 0.4  # of those the one at this part of their order by roughness
PARTS = 6  # a patch has so many parts to a side, whose roughness is compared
LINES, TEXTURE = 0.75, 0.9  # evenness up to which a patch does not count, and from which it does
FEWEST = 4  # known patches below which there is nothing to go by


def grain(pixels: Floats, picture: Floats, known: Mask, hole: Mask) -> Floats:
    """What to add to the model's ``picture`` in the ``hole``; zero elsewhere.

    ``pixels`` is the true picture where ``known``. All of one side W, the source's resolution.
    """
    side = picture.shape[0]
    cell = side // CELLS
    nothing = np.zeros_like(picture, np.float32)
    size = 2 * cell
    if cell < 2 or not hole.any():
        return nothing
    sources = _places(side, cell, step=max(cell // 2, 1), inside=True)
    sources = sources[_average(known.astype(np.float32), sources, size) == 1]
    targets = _places(side, cell, step=cell, inside=False)
    targets = targets[_average(hole.astype(np.float32), targets, size) > 0]
    if len(sources) < FEWEST:
        return nothing
    rough = _rough(pixels, known, cell)
    power = _power(rough)
    has = _average(power, sources, size).astype(np.float32)
    already = _average(_power(_rough(picture, known | hole, cell)), targets, size)
    even = np.clip((_evenness(power, sources, size) - LINES) / (TEXTURE - LINES), 0, 1)
    chosen, weight = _match(_looks(picture, sources, cell), _looks(picture, targets, cell),
                            sources / side, targets / side, has)  # fmt: skip
    lacking = 1 - already.astype(np.float32) / np.maximum(has[chosen], 1e-6)
    weight *= even[chosen] * np.sqrt(np.clip(lacking, 0, 1))
    return _laid(rough, hole, targets, sources[chosen], weight, cell)


def _laid(
    rough: Floats,
    hole: Mask,
    targets: NDArray[np.int64],
    sources: NDArray[np.int64],
    weight: Floats,
    cell: int,
) -> Floats:
    """Patches of ``rough`` from ``sources`` laid over ``targets``, faded out towards their edges;
    as rough as the patches are where they overlap too. Zero outside the hole."""
    side, size = rough.shape[0], 2 * cell
    window = np.hanning(size + 2)[1:-1].astype(np.float32)
    window = np.outer(window, window)
    squared = window * window
    room = side + 3 * cell + 1  # patches begin from a cell before the picture to its last pixel
    laid, power = np.zeros((room, room, 3), np.float32), np.zeros((room, room), np.float32)
    for (top, left), (y, x), share in zip(targets, sources, weight, strict=True):
        here = (slice(top + cell, top + 3 * cell), slice(left + cell, left + 3 * cell))
        power[here] += squared
        if share > 0:
            laid[here] += rough[y : y + size, x : x + size] * (window * share)[..., None]
    inner = (slice(cell, cell + side), slice(cell, cell + side))
    scale = np.where(hole, 1 / np.sqrt(np.maximum(power[inner], 1e-3)), 0).astype(np.float32)
    whole: Floats = laid[inner] * scale[..., None]
    return whole


def _rough(picture: Floats, valid: Mask, cell: int) -> Floats:
    """Without what is smooth over a cell: colours and light are the model's business."""
    width = 2 * (cell // 2) + 1
    there = valid.astype(np.float32)
    share = there / np.maximum(cv2.blur(there, (width, width)), 1e-6)
    rough: Floats = picture * there[..., None]
    smooth: Floats = cv2.blur(rough, (width, width))
    smooth *= share[..., None]
    rough -= smooth
    return rough


def _power(rough: Floats) -> Floats:
    """The mean square of the channels, (W, W)."""
    power: Floats = np.einsum("yxc,yxc->yx", rough, rough) / np.float32(rough.shape[2])
    return power


def _places(side: int, cell: int, *, step: int, inside: bool) -> NDArray[np.int64]:
    """Top left corners (N, 2) of patches, all inside or from a cell before the edge on."""
    line = np.arange(0, side - 2 * cell + 1, step) if inside else np.arange(-cell, side, step)
    return np.stack(np.meshgrid(line, line, indexing="ij"), -1).reshape(-1, 2)


def _average(values: Floats, places: NDArray[np.int64], size: int) -> Floats:
    """The mean of (W, W) values over each patch's part inside the picture, (N,)."""
    table = cv2.integral(values)  # in double precision: shares of a mask are exact
    side = values.shape[0]
    top, left = np.clip(places, 0, side).T
    bottom, right = np.clip(places + size, 0, side).T
    total = table[bottom, right] - table[top, right] - table[bottom, left] + table[top, left]
    return np.asarray(total / np.maximum((bottom - top) * (right - left), 1))


def _evenness(power: Floats, places: NDArray[np.int64], size: int) -> Floats:
    """How evenly rough each patch of a ``power`` (W, W) is, (N,): the mean roughness of its parts,
    root mean square, over that of the whole. 1 is the same everywhere, a line across a flat patch
    has about a half."""
    parts = np.stack(
        [cv2.resize(power[y : y + size, x : x + size], (PARTS, PARTS),
                    interpolation=cv2.INTER_AREA).ravel()
         for y, x in places]
    )  # fmt: skip
    even: Floats = np.sqrt(parts).mean(1) / np.sqrt(np.maximum(parts.mean(1), 1e-6))
    return even.astype(np.float32)


def _looks(picture: Floats, places: NDArray[np.int64], cell: int) -> Floats:
    """Each patch small, (N, LOOK * LOOK * 3); beyond its edge the picture is mirrored."""
    padded = cv2.copyMakeBorder(picture, cell, 2 * cell, cell, 2 * cell, cv2.BORDER_REFLECT)
    small = [
        cv2.resize(padded[y + cell : y + 3 * cell, x + cell : x + 3 * cell], (LOOK, LOOK),
                   interpolation=cv2.INTER_AREA).ravel()
        for y, x in places
    ]  # fmt: skip
    return np.stack(small).astype(np.float32)


def _match(
    sources: Floats,
    targets: Floats,
    source_places: NDArray[np.float64],
    target_places: NDArray[np.float64],
    power: Floats,
) -> tuple[NDArray[np.int64], Floats]:
    """For each target a source that looks like it, and how much it counts, 0..1.

    Of those that look about as much like it one of middling ``power``: an edge that happens to be
    there is no texture.
    """
    size = sources.shape[1]
    square = (targets**2).sum(1)[:, None] + (sources**2).sum(1) - 2 * targets @ sources.T
    unlike = np.sqrt(np.maximum(square, 0) / size)  # (T, N), root mean square difference
    apart = np.linalg.norm(target_places[:, None] - source_places[None], axis=2)
    cost = unlike + AWAY * apart
    used = np.zeros(len(sources))
    chosen = np.zeros(len(targets), np.int64)
    for index in range(len(targets)):
        own = cost[index] + TWICE * used
        near = np.flatnonzero(own <= own.min() + ALIKE)
        order = np.argsort(power[near], kind="stable")
        chosen[index] = near[order[int((len(near) - 1) * ROUGHNESS)]]
        used[chosen[index]] += 1
    best = unlike[np.arange(len(targets)), chosen]
    weight: Floats = np.exp(-((best / UNLIKE) ** 2)).astype(np.float32)
    return chosen, weight
