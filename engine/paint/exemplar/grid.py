"""A level of the pyramid as the search works on it: with a border, flat, in torch."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.arrays import Floats
from engine.paint.distance import depth_in
from engine.paint.exemplar.matching import EDGE, Field, repeated
from engine.paint.exemplar.melding import melded, steps
from engine.paint.exemplar.patches import RADIUS, vectors
from engine.paint.exemplar.pyramid import Level
from engine.paint.exemplar.settings import SIDE, Settings

DEEPEST = 24  # pixels inside the hole beyond which a patch is trusted no less
NEAR = 1  # pixels from a patch's middle: as far as its steps are asked for
PAD = ((EDGE, EDGE), (EDGE, EDGE))
TILE = 128  # pixels on a side of the parts in which patches are looked at, where there are any


class Tile(NamedTuple):
    """A ``part`` of the picture, the ``middles`` of the hole's patches in it (rows and columns, of
    the part), and which targets these are."""

    part: tuple[slice, slice]
    middles: tuple[NDArray[np.int64], NDArray[np.int64]]
    numbers: NDArray[np.int64]


class Grid:
    """A level, its matches, and its picture as it is filled so far, in ``starts`` ways.

    ``unit`` is the side in pixels of the full picture's part that is worked on.
    """

    def __init__(self, level: Level, settings: Settings, *, unit: float, starts: int = 1) -> None:
        self.level, self.settings = level, settings
        self.stretch = unit / SIDE
        known = np.where(level.hole[..., None], 0, level.picture).astype(np.float32)
        self.pictures = np.stack([known] * starts)
        self.field = Field.build(np.pad(level.target, PAD), np.pad(level.source, PAD), starts)
        self.hole = torch.from_numpy(np.flatnonzero(np.pad(level.hole, PAD)))
        self.trust = self._trust().index_select(0, self.field.targets)
        self.fixed = self._fixed()
        self.asked = self.fixed[level.target]  # of the hole's patches, (N, n)
        self.tiles = self._tiles()
        self.offered = self._offered(known)

    @property
    def picture(self) -> Floats:
        """The picture (H, W, 3) where there is one start left."""
        assert len(self.pictures) == 1, "which of the starts is not decided yet"
        picture: Floats = self.pictures[0]
        return picture

    def only(self, start: int) -> None:
        """Go on with one of the ways alone."""
        self.pictures, self.field = self.pictures[start : start + 1], self.field.only(start)

    def _trust(self) -> Tensor:
        """How much a patch's vote counts by how far inside the hole it lies, (H*W,)."""
        inward = depth_in(np.pad(self.level.hole, PAD, mode="edge"))
        trust = np.float32(self.settings.decay) ** -np.minimum(inward, DEEPEST)
        return torch.from_numpy(trust.reshape(-1))

    def _fixed(self) -> Floats:
        """What is compared beside the patches, (H, W, n): the place, and what was drawn there."""
        s, scale = self.settings, self.level.scale
        height, width = self.level.hole.shape
        y, x = np.mgrid[:height, :width].astype(np.float32) / (scale * self.stretch)
        planes = [y * s.near_y, x * s.near_x]
        if self.level.drawn is not None and s.guide > 0:
            blur = max(s.guide_blur * scale * self.stretch, 0.3)
            smooth = cv2.GaussianBlur(self.level.drawn, (0, 0), blur)
            weight = s.guide * min(1.0, s.guide_scale / (scale * self.stretch)) ** s.guide_fade
            planes += [plane * weight for plane in cv2.split(smooth)]
        stacked: Floats = np.stack(planes, 2)
        return stacked

    def _tiles(self) -> list[Tile]:
        """The tiles that hold the middle of any of the hole's patches."""
        height, width = self.level.hole.shape
        number = np.full((height, width), -1)
        number[self.level.target] = np.arange(len(self.field.targets))
        tiles = []
        for top in range(0, height, TILE):
            for left in range(0, width, TILE):
                found = number[top : top + TILE, left : left + TILE]
                if found.max() >= 0:
                    rows = slice(max(top - RADIUS, 0), top + TILE + RADIUS)
                    columns = slice(max(left - RADIUS, 0), left + TILE + RADIUS)
                    y, x = np.nonzero(found >= 0)
                    middles = y + top - rows.start, x + left - columns.start
                    tiles.append(Tile((rows, columns), middles, found[found >= 0]))
        return tiles

    def _offered(self, known: Floats) -> Tensor:
        """What is compared of every place, (H*W, D); the picture is mirrored at its border."""
        patches = vectors(known)
        height, width, depth = patches.shape
        wide = np.zeros(
            (height + 2 * EDGE, width + 2 * EDGE, depth + self.fixed.shape[2]), np.float32
        )
        wide[EDGE:-EDGE, EDGE:-EDGE, :depth] = patches
        wide[EDGE:-EDGE, EDGE:-EDGE, depth:] = self.fixed
        return torch.from_numpy(wide).reshape(-1, wide.shape[2])

    def wanted(self) -> Tensor:
        """What is compared of the hole's patches as they are filled so far, (K*N, D)."""
        width = self.offered.shape[1]
        depth = width - self.asked.shape[1]
        found = np.empty((len(self.pictures), len(self.asked), width), np.float32)
        found[..., depth:] = self.asked
        for tile in self.tiles:
            for picture, vector in zip(self.pictures, found, strict=True):
                vector[tile.numbers, :depth] = vectors(picture[tile.part])[tile.middles]
        return torch.from_numpy(found).view(-1, width)

    def vote(self) -> None:
        """Put into the hole what its patches' matches say."""
        wide = cv2.copyMakeBorder(
            self.pictures[0], EDGE, EDGE, EDGE, EDGE, cv2.BORDER_REFLECT_101
        )
        hole = repeated(self.hole, len(self.field.source), self.field.starts)
        colours = self.field.vote(torch.from_numpy(wide).reshape(-1, 3), hole, self.weight())
        self.pictures[:, self.level.hole] = colours.view(self.field.starts, -1, 3).numpy()

    def meld(self) -> None:
        """Take out the steps of a few levels where copies of two places meet, once, at the end."""
        wide = cv2.copyMakeBorder(self.picture, EDGE, EDGE, EDGE, EDGE, cv2.BORDER_REFLECT_101)
        leading = self.level.hole.copy()  # from where a step leads into the hole, too
        leading[:-1] |= self.level.hole[1:]
        leading[:, :-1] |= self.level.hole[:, 1:]
        places = torch.from_numpy(np.flatnonzero(np.pad(leading, PAD)))
        shown = torch.from_numpy(np.concatenate(steps(wide), axis=2).reshape(-1, 6))
        wanted = np.zeros((*leading.shape, 6), np.float32)
        wanted[leading] = self.field.vote(shown, places, self.weight(), NEAR).numpy()
        self.pictures = melded(
            self.picture, self.level.hole, wanted[..., :3], wanted[..., 3:]
        )[None]

    def weight(self) -> Tensor:
        """How much every target's patch counts, (K*H*W,) (Wexler et al. 2007, eq. 6)."""
        far = self.field.distance.view(self.field.starts, -1)
        spread = np.quantile(far.numpy(), self.settings.quantile, axis=1)
        scale = torch.from_numpy(2 * np.maximum(spread, 1.0)).to(far.dtype)
        whole = torch.zeros(len(self.field.match))
        likeness = torch.exp(-far / scale[:, None]) + 1e-6
        whole[self.field.places] = (likeness * self.trust).view(-1)
        return whole


def taken_over(coarse: Grid, fine: Grid) -> Tensor:
    """The fine targets' matches after the coarse ones': the offset of the pixel below, scaled.

    Flat places (K*N,), of as many starts in both; -1 where that lies outside or is none.
    """
    height, width = fine.level.hole.shape
    low, narrow = coarse.level.hole.shape
    across = fine.field.width
    y = torch.div(fine.field.targets, across, rounding_mode="floor") - EDGE
    x = fine.field.targets % across - EDGE
    below_y, below_x = (y * low) // height, (x * narrow) // width
    below = (below_y + EDGE) * coarse.field.width + below_x + EDGE
    match = coarse.field.match.view(coarse.field.starts, -1)[:, below]
    dy = torch.div(match, coarse.field.width, rounding_mode="floor") - EDGE - below_y
    dx = match % coarse.field.width - EDGE - below_x
    y = y + torch.round(dy * (height / low)).to(torch.int64)
    x = x + torch.round(dx * (width / narrow)).to(torch.int64)
    good = (match >= 0) & (y >= 0) & (y < height) & (x >= 0) & (x < width)
    return torch.where(good, (y + EDGE) * across + x + EDGE, -1).view(-1)
