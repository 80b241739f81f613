"""Holes for training with foresight: which positions of the finest token map are unknown.

Without holes a VAR reads, at each scale, what the coarser ones add up to and nothing finer, not
even where the picture is known. A model with foresight reads the known area's own features at
every scale instead, so what it draws can meet lines and textures that coarse tokens do not show.
It learns that on pictures with holes.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

Kind = Literal["everything", "middle", "any"]
Cells = npt.NDArray[np.bool_]

SHARES: dict[Kind, float] = {"everything": 0.3, "middle": 0.3, "any": 0.4}
FINER = 4  # strokes are drawn so many times finer than the map
NO_LABEL = 0.6  # share of the pictures with a hole that are trained without their label


def choose_kind(rng: np.random.Generator) -> Kind:
    """What is unknown: the whole picture (as without foresight), its middle, or any part."""
    kinds = list(SHARES)
    return kinds[int(rng.choice(len(kinds), p=list(SHARES.values())))]


def draw_hole(kind: Kind, side: int, rng: np.random.Generator) -> Cells:
    """The unknown positions (side, side), at least one.

    "middle" is a box or an ellipse there, as `edit_class` frames its mask; "any" is a box, a strip
    along a side, all but a box, or strokes.
    """
    if kind == "everything":
        return np.ones((side, side), bool)
    canvas = np.zeros((side * FINER, side * FINER), np.uint8)
    if kind == "middle":
        _middle(canvas, rng)
    else:
        chance = rng.random()
        if chance < 0.3:
            _box(canvas, rng)
        elif chance < 0.5:
            canvas[:, : int(canvas.shape[1] * rng.uniform(0.2, 0.6))] = 1
            canvas = np.rot90(canvas, int(rng.integers(4)))
        elif chance < 0.6:
            _box(canvas, rng)
            canvas = 1 - canvas
        else:
            _strokes(canvas, rng)
    cells: Cells = np.asarray(canvas.reshape(side, FINER, side, FINER).any(axis=(1, 3)))
    if not cells.any():
        cells[tuple(rng.integers(0, side, 2))] = True
    return cells


def _middle(canvas: npt.NDArray[np.uint8], rng: np.random.Generator) -> None:
    side = canvas.shape[0]
    half_high, half_wide = (int(side * rng.uniform(0.2, 0.46)) for _ in range(2))
    centre = side // 2
    if rng.random() < 0.5:
        cv2.ellipse(canvas, (centre, centre), (half_wide, half_high), 0, 0, 360, 1, -1)
    else:
        rows = slice(centre - half_high, centre + half_high)
        canvas[rows, centre - half_wide : centre + half_wide] = 1


def _box(canvas: npt.NDArray[np.uint8], rng: np.random.Generator) -> None:
    side = canvas.shape[0]
    high, wide = (int(side * rng.uniform(0.15, 0.7)) for _ in range(2))
    top, left = int(rng.integers(0, side - high + 1)), int(rng.integers(0, side - wide + 1))
    canvas[top : top + high, left : left + wide] = 1


def _strokes(canvas: npt.NDArray[np.uint8], rng: np.random.Generator) -> None:
    side = canvas.shape[0]
    for _ in range(int(rng.integers(1, 5))):
        width = int(side * rng.uniform(0.03, 0.3)) + 1
        at = rng.uniform(0, side, 2)
        for _ in range(int(rng.integers(1, 5))):
            to = np.clip(at + rng.normal(0, side / 4, 2), 0, side)
            cv2.line(canvas, _point(at), _point(to), 1, width)
            at = to


def _point(at: npt.NDArray[np.float64]) -> tuple[int, int]:
    return int(at[0]), int(at[1])
