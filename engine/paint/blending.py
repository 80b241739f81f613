"""How a generated hole meets its surroundings: a correction that is added inside the hole only.

Pictures are (S, S, 3) float32, ``known`` is (S, S) bool. A difference is what was there minus the
model's output, meaningful where known. Corrections are zero where known, so nothing outside a mask
can change.
"""

from __future__ import annotations

import cv2
import numpy as np

from engine.arrays import Floats, Mask
from engine.frames.fill import push_pull
from engine.paint.distance import depth_in

RIM = 12  # width in model pixels of the known rim whose colours count
REACH = 0.35  # distance, as a part of the frame, at which a smooth correction has faded to 1/e
STITCH = 12.0  # distance in model pixels at which a stitch has faded to 1/e
FAR = 1e-3  # weight, at half the size, of known pixels that do not touch the hole
SWEEPS = 24  # Gauss-Seidel sweeps a level; the coarser level has settled all that is smooth


def correction(pixels: Floats, picture: Floats, known: Mask, trusted: Mask) -> Floats:
    """What to add to the model's ``picture`` so that its hole meets the known ``pixels``.

    A membrane (the rim's mean differences, fading inward) and a stitch at the edge itself. Known
    pixels that are not ``trusted``, such as a thing's shadow, still have to be met, by a stitch,
    but their colours are not carried into the hole.
    """
    if known.all() or not known.any():
        return np.zeros_like(picture, np.float32)
    partly = bool(trusted.any() and (trusted != known).any())
    smooth = membrane((pixels - picture).astype(np.float32), trusted if partly else known)
    smooth = np.where(known[..., None], 0, smooth).astype(np.float32)
    _stitch(smooth, pixels, picture, known, STITCH)
    if partly:  # a rim that was not believed is further off: what is left, once more
        _stitch(smooth, pixels, picture, known, STITCH / 4)
    return np.where(known[..., None], 0, smooth)


def _stitch(smooth: Floats, pixels: Floats, picture: Floats, known: Mask, reach: float) -> None:
    """Add to ``smooth`` what takes out the step that is left at the hole's edge, faded to 1/e
    ``reach`` pixels inside."""
    near = around(known)
    there, part = known[near], smooth[near]
    fade = np.exp(-depth_in(~there) / reach)[..., None]
    left = across(pixels[near], picture[near] + part, there)
    part += harmonic(left, there) * fade


def around(known: Mask) -> tuple[slice, slice]:
    """The rows and columns of the hole, of which there is some, and of the pixels that touch it."""
    rows, columns = (np.flatnonzero((~known).any(axis=axis)) for axis in (1, 0))
    return (
        slice(max(int(rows[0]) - 1, 0), int(rows[-1]) + 2),
        slice(max(int(columns[0]) - 1, 0), int(columns[-1]) + 2),
    )


def across(pixels: Floats, picture: Floats, known: Mask) -> Floats:
    """The difference, at the hole's edge taken across it: known pixel minus the hole's nearest.

    Perez et al. 2003 keep the pasted picture's own step from its edge into the hole. Ours has the
    model's seam there, where drawn tokens meet kept ones, so that step is to go.
    """
    cross = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], np.float32)
    hole = (~known).astype(np.float32)
    count = cv2.filter2D(hole, -1, cross, borderType=cv2.BORDER_CONSTANT)
    inside = (picture * hole[..., None]).astype(np.float32)
    total = cv2.filter2D(inside, -1, cross, borderType=cv2.BORDER_CONSTANT)
    facing = np.where(
        (known & (count > 0))[..., None], total / np.maximum(count, 1)[..., None], picture
    )
    difference: Floats = (pixels - facing).astype(np.float32)
    return difference


def rim_weight(known: Mask) -> Floats:
    """How much a known pixel says about the hole: 1 at its edge, e^-3 a rim's width away."""
    outward = depth_in(known)
    weight: Floats = np.where(known, np.exp(-(outward - 1) * (3 / RIM)), 0).astype(np.float32)
    return weight


def membrane(difference: Floats, known: Mask) -> Floats:
    """The rim's differences, averaged over its width, spread over the hole, fading inward.

    After Perez et al. 2003, eq. 8, but unlike the exact solution it neither carries single noisy
    pixels of the rim across the hole nor reaches its far middle.
    """
    spread = push_pull(difference, rim_weight(known))
    fade = np.exp(-depth_in(~known) / (REACH * known.shape[0]))[..., None]
    faded: Floats = spread * fade
    return faded


def harmonic(values: Floats, known: Mask) -> Floats:
    """The membrane of Perez et al. 2003, eq. 8: Laplace's equation inside, ``values`` where known.

    Something must be known. Known pixels that touch the hole are met exactly; at the frame's own
    border the correction runs flat. Only the hole's surroundings are worked on.
    """
    solution = values.astype(np.float32)
    if not known.all():
        near = around(known)
        solution[near] = _solve(solution[near], known[near])
    return solution


def _solve(values: Floats, known: Mask) -> Floats:
    """Cascadic multigrid (Bornemann and Deuflhard 1996): solve at half the size, then smooth."""
    height, width = known.shape
    inside = ~known
    guess = np.broadcast_to(values[known].mean(axis=0), values.shape)
    size = ((width + 1) // 2, (height + 1) // 2)
    share = cv2.resize(known.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    enough = share >= 0.5
    if min(height, width) > 2 and enough.any() and not enough.all():
        touching = cv2.dilate(inside.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        weight = (known * np.where(touching, 1, FAR)).astype(np.float32)
        total = cv2.resize(weight, size, interpolation=cv2.INTER_AREA)
        mixed = cv2.resize(values * weight[..., None], size, interpolation=cv2.INTER_AREA)
        coarse = _solve(mixed / np.maximum(total, 1e-9)[..., None], enough)
        guess = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    solution: Floats = np.where(known[..., None], values, guess).astype(np.float32)
    cross = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], np.float32) / 4
    parity = np.add.outer(np.arange(height), np.arange(width)) % 2
    colours = [(inside & (parity == colour)).astype(np.uint8) for colour in (0, 1)]
    mean = np.empty_like(solution)
    for _ in range(SWEEPS):
        for colour in colours:
            cv2.filter2D(solution, -1, cross, dst=mean, borderType=cv2.BORDER_REPLICATE)
            cv2.copyTo(mean, colour, solution)
    return solution
