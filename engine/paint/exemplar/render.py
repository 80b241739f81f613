"""Matches of a smaller picture, used at the full one: every pixel is copied, none searched for."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from engine.arrays import Floats
from engine.paint.exemplar.grid import Grid
from engine.paint.exemplar.matching import EDGE
from engine.paint.exemplar.patches import SIZE
from engine.paint.exemplar.pyramid import Level

STRIP = 1 << 18  # pixels that are made at once
VOICES = (-1.0, 0.0, 1.0)  # pixels of the smaller picture at which patches are asked, either way


def rendered(grid: Grid, finest: Level) -> Floats:
    """The full picture with its hole filled: each pixel the mean of what the patches around it
    put there, weighted by how like they are and how close."""
    picture = np.ascontiguousarray(finest.picture, np.float32)
    rows, columns = np.nonzero(finest.hole)
    result = picture.copy()
    flat = torch.from_numpy(np.where(finest.hole[..., None], 0, picture)).reshape(-1, 3)
    known = torch.from_numpy(~finest.hole).reshape(-1)
    said = _said(grid)
    for begin in range(0, len(rows), STRIP):
        part = slice(begin, begin + STRIP)
        y, x = (torch.from_numpy(places[part]) for places in (rows, columns))
        colours = _copied(flat, known, finest.hole.shape, (y, x), grid, said)
        result[rows[part], columns[part]] = colours.numpy()
    return result


def _said(grid: Grid) -> Tensor:
    """What each patch of the smaller picture says, (H*W, 6): its match's offset, down and across,
    its weight, and by how much it is brighter than its match, in three colours."""
    width, match = grid.field.width, grid.field.match
    places = torch.arange(len(match))
    down = torch.div(match, width, rounding_mode="floor") - torch.div(
        places, width, rounding_mode="floor"
    )
    across = match % width - places % width
    weight = torch.where(match >= 0, grid.weight(), 0)
    mean = cv2.blur(grid.picture, (SIZE, SIZE), borderType=cv2.BORDER_REFLECT_101)
    wide = cv2.copyMakeBorder(mean, EDGE, EDGE, EDGE, EDGE, cv2.BORDER_REFLECT_101)
    flat = torch.from_numpy(wide).reshape(-1, 3)
    lift = flat - flat.index_select(0, match.clamp(min=0))
    return torch.cat([torch.stack([down, across, weight], 1), lift], 1).to(torch.float32)


def _copied(
    picture: Tensor,
    known: Tensor,
    shape: tuple[int, ...],
    places: tuple[Tensor, Tensor],
    grid: Grid,
    said: Tensor,
) -> Tensor:
    """The colours (M, 3) of the hole's pixels at ``places``."""
    height, width = shape
    low, narrow = grid.level.hole.shape
    y, x = places
    small_y, small_x = (y + 0.5) * (low / height) - 0.5, (x + 0.5) * (narrow / width) - 0.5
    total = torch.zeros(len(y), 3)
    mass = torch.zeros(len(y), 1)
    for dy in VOICES:
        for dx in VOICES:
            near_y, near_x = torch.round(small_y + dy), torch.round(small_x + dx)
            near = ((near_y + EDGE) * grid.field.width + near_x + EDGE).to(torch.int64)
            heard = said.index_select(0, near)
            to_y = y + torch.round(heard[:, 0] * (height / low)).to(torch.int64)
            to_x = x + torch.round(heard[:, 1] * (width / narrow)).to(torch.int64)
            inside = (to_y >= 0) & (to_y < height) & (to_x >= 0) & (to_x < width)
            there = torch.where(inside, to_y * width + to_x, 0)
            close = torch.exp(-((near_y - small_y) ** 2 + (near_x - small_x) ** 2))
            voice = heard[:, 2] * close * (inside & known.index_select(0, there))
            colours = picture.index_select(0, there) + heard[:, 3:]
            total.addcmul_(colours, voice[:, None])
            mass += voice[:, None]
    return total / mass.clamp_(min=1e-30)
