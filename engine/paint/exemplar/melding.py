"""Copies of several places made one picture: what has to be added to them so that they meet.

Each pixel of a hole is given a colour by the patches around it, and steps to its neighbours. Where
patches from two places meet, or a patch and the hole's edge, the colours differ by more than those
steps say; a step of a few levels is seen wherever the picture is smooth. So the steps are kept and
the colours give way (Perez et al. 2003, "Poisson image editing", eq. 7; Darabi et al. 2012, "Image
melding"), but not where they differ by so much that an edge is meant.

Pictures are (H, W, 3) float32 in 0..255. It knows nothing of patches.
"""

from __future__ import annotations

import cv2
import numpy as np

from engine.arrays import Floats, Mask

MEANT = 20.0  # root mean square of a step in excess, in levels, of which half is smoothed away
FAR = 20.0  # pixels over which what is added fades to 1/e: nothing drifts however long a hole is
CYCLES = 3  # of the solver
SWEEPS = 2  # of smoothing before and after each coarser level
WHOLE = 0.8  # share of a coarser pixel that is inside, beyond which it is
DAMPING = 0.8  # of a Jacobi step


def steps(picture: Floats) -> tuple[Floats, Floats]:
    """From every pixel to the one below and to the one on its right, (H, W, 3); 0 at the border."""
    down, right = np.zeros_like(picture), np.zeros_like(picture)
    np.subtract(picture[1:], picture[:-1], out=down[:-1])
    np.subtract(picture[:, 1:], picture[:, :-1], out=right[:, :-1])
    return down, right


def melded(picture: Floats, hole: Mask, down: Floats, right: Floats) -> Floats:
    """The picture with colours in its ``hole`` (H, W) that take the steps ``down`` and ``right``.

    They are as `steps` gives them; only those that touch the hole are looked at. Known pixels stay.
    """
    left, top, width, height = cv2.boundingRect(hole.view(np.uint8))
    view = (slice(max(top - 1, 0), top + height + 1), slice(max(left - 1, 0), left + width + 1))
    part = picture[view]
    below, beside = (
        _excess(step, wanted[view]) for step, wanted in zip(steps(part), (down, right), strict=True)
    )
    pull = np.zeros_like(part)
    pull[:-1] += below[:-1]
    pull[1:] -= below[:-1]
    pull[:, :-1] += beside[:, :-1]
    pull[:, 1:] -= beside[:, :-1]
    result = picture.copy()
    result[view] += _solved(pull, cv2.merge([hole[view].astype(np.float32)] * 3))
    return result


def _excess(step: Floats, wanted: Floats) -> Floats:
    """By how much steps are larger than wanted; less of it where an edge is meant."""
    excess = step - wanted
    size = np.square(excess).mean(axis=2, keepdims=True) / MEANT**2
    excess /= 1 + size**2
    return excess


def _solved(pull: Floats, inside: Floats) -> Floats:
    """What to add, (h, w, 3): where ``inside`` (h, w, 3) is 1, 4 + 1 / ``FAR`` ** 2 times a pixel
    minus its neighbours makes the ``pull``; elsewhere it is 0, and at the border it runs flat.

    W-cycles of multigrid (Briggs et al. 2000, chapter 3), smoothed by damped Jacobi steps.
    """
    found = np.zeros_like(pull)
    for _ in range(CYCLES):
        _cycle(found, pull, inside, FAR**-2)
    return found


def _cycle(found: Floats, pull: Floats, inside: Floats, screen: float) -> None:
    """Bring what is ``found`` closer, in place."""
    height, width = inside.shape[:2]
    size = ((width + 1) // 2, (height + 1) // 2)
    share = cv2.resize(inside, size, interpolation=cv2.INTER_AREA)
    coarse_inside = (share > WHOLE).astype(np.float32)  # a known line still parts what it parts
    _smooth(found, pull, inside, screen)
    if min(height, width) > 3 and coarse_inside.any():
        left = cv2.filter2D(found, -1, _cross(1, -4 - screen), borderType=cv2.BORDER_REPLICATE)
        left += pull
        left *= inside
        coarse_pull = 4 * cv2.resize(left, size, interpolation=cv2.INTER_AREA) * coarse_inside
        coarse = np.zeros_like(coarse_pull)
        for _ in range(2):
            _cycle(coarse, coarse_pull, coarse_inside, 4 * screen)
        found += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR) * inside
    _smooth(found, pull, inside, screen)


def _smooth(found: Floats, pull: Floats, inside: Floats, screen: float) -> None:
    share = DAMPING / (4 + screen)
    kernel, lift = _cross(share, 1 - DAMPING), share * pull
    for _ in range(SWEEPS):
        cv2.filter2D(found, -1, kernel, dst=found, borderType=cv2.BORDER_REPLICATE)
        found += lift
        found *= inside


def _cross(arm: float, middle: float) -> Floats:
    return np.array([[0, arm, 0], [arm, middle, arm], [0, arm, 0]], np.float32)
