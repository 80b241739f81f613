"""A hole filled from the rest of its picture, at the picture's own resolution.

Patches of the hole are matched with like patches of the known area (Barnes et al. 2009,
"PatchMatch"), and what matches put at a pixel is averaged (Wexler et al. 2007, "Space-time
completion of video"), in turns, from a coarse picture to a fine one. What a model has drawn in the
hole says what is where, the picture what it is made of.

Pictures are (H, W, 3) RGB in 0..255, masks (H, W) bool, True = fill. It knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from engine.arrays import Box, Floats, Mask
from engine.paint.exemplar.areas import Area, areas
from engine.paint.exemplar.evenness import unevenness
from engine.paint.exemplar.grid import Grid, taken_over
from engine.paint.exemplar.pyramid import Level, pyramid
from engine.paint.exemplar.render import rendered
from engine.paint.exemplar.settings import DEFAULT, Settings

LARGEST_SEARCHED = 40_000  # pixels of the hole up to which a level is searched in full ...
LARGEST_REFINED = 100_000  # ... and up to which matches still move by a few pixels
LARGEST_SEEN = 3_200_000  # pixels of a level, hole and surroundings, up to which it is looked at
DECIDED = 64  # longer side in pixels from which on one of the starts is chosen at a level ...
TRIED = 1 / 3  # ... after such a part of its rounds


@dataclass(frozen=True)
class Piece:
    """A ``box`` of the picture and what it shows when filled, (h, w, 3) float32.

    Only the ``wanted`` pixels (h, w) are new.
    """

    box: Box
    pixels: Floats
    wanted: Mask

    def paste(self, canvas: NDArray[np.uint8]) -> None:
        """Write the new pixels into a canvas (H, W, 3)."""
        left, top, right, bottom = self.box
        view = canvas[top:bottom, left:right]
        view[self.wanted] = np.clip(np.rint(self.pixels[self.wanted]), 0, 255).astype(np.uint8)


Filling = Generator[float, None, list[Piece]]


def filling(
    picture: NDArray[Any],
    hole: Mask,
    drawn: NDArray[Any] | None = None,
    *,
    seed: int = 0,
    settings: Settings = DEFAULT,
) -> Filling:
    """Fill the ``hole`` step by step; yields the share that is done, returns the pieces.

    ``drawn`` is the same picture with the model's answer in the hole. Parts of the hole that have
    nothing around them to be filled from are left out. Closing the generator cancels; nothing that
    is passed in is written to. The same arguments give the same bytes.
    """
    pieces: list[Piece] = []
    parts = areas(hole)
    for number, area in enumerate(parts):
        work = _fill(picture, hole, drawn, area, np.random.default_rng([seed, number]), settings)
        while True:
            try:
                with torch.inference_mode(), _one_thread():
                    done = next(work)
            except StopIteration as end:
                pieces += [] if end.value is None else [Piece(area.box, end.value, area.wanted)]
                break
            yield (number + done) / len(parts)
    return pieces


@contextmanager
def _one_thread() -> Iterator[None]:
    """These are thousands of small operators. On idle cores a second thread gains a tenth, and
    where others want them too all of them wait, spinning, for the one that has none: ten times as
    long, measured."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def fill(
    picture: NDArray[Any],
    hole: Mask,
    drawn: NDArray[Any] | None = None,
    *,
    seed: int = 0,
    settings: Settings = DEFAULT,
) -> list[Piece]:
    """`filling`, in one go."""
    work = filling(picture, hole, drawn, seed=seed, settings=settings)
    while True:
        try:
            next(work)
        except StopIteration as end:
            pieces: list[Piece] = end.value
            return pieces


def _fill(
    picture: NDArray[Any],
    hole: Mask,
    drawn: NDArray[Any] | None,
    area: Area,
    rng: np.random.Generator,
    settings: Settings,
) -> Generator[float, None, Floats | None]:
    """One area; None where nothing fits."""
    view = area.window
    guide = None if drawn is None else drawn[view].astype(np.float32)
    finest = Level(picture[view].astype(np.float32), hole[view], guide, 1.0)
    levels = pyramid(finest)
    if not levels:
        return None
    small = [
        level
        for level in levels
        if int(level.hole.sum()) <= LARGEST_REFINED and level.hole.size <= LARGEST_SEEN
    ] or levels[-1:]
    before: Grid | None = None
    starts = settings.starts
    for number, level in enumerate(reversed(small)):
        grid = Grid(level, settings, unit=max(finest.hole.shape), starts=starts)
        if before is None:
            grid.field.settle(torch.full_like(grid.field.places, -1), rng)
        else:
            grid.field.settle(taken_over(before, grid), rng)
        before = grid
        grid.vote()
        rounds, reaches = _effort(grid, number, settings)
        deciding = level is small[0] or max(level.hole.shape) >= DECIDED
        for turn in range(rounds):
            yield (number + turn / rounds) / (len(small) + 1)
            if starts > 1 and deciding and turn == int(rounds * TRIED):
                grid.only(_most_even(grid))
                starts = 1
            _round(grid, rng, reaches, settings)
    assert before is not None
    before.meld()
    if before.level is finest:
        return before.picture
    yield len(small) / (len(small) + 1)
    return rendered(before, finest)


def _most_even(grid: Grid) -> int:
    """The start whose texture goes on most evenly."""
    return int(np.argmin([unevenness(picture, grid.level.hole) for picture in grid.pictures]))


def _effort(grid: Grid, number: int, settings: Settings) -> tuple[int, tuple[int, ...]]:
    """How many rounds a level gets, the ``number``th from the coarsest, and how far each looks."""
    far = max(grid.level.hole.shape) // 2
    reaches = tuple(reach for reach in (far, far // 3, far // 9, far // 27, 2) if reach > 1)
    if number == 0:
        reaches = (0, 0, *reaches)
    rounds = settings.rounds[min(number, len(settings.rounds) - 1)]
    if len(grid.hole) > LARGEST_SEARCHED:
        return 1, (2,)
    return rounds, reaches


def _round(grid: Grid, rng: np.random.Generator, reaches: tuple[int, ...], s: Settings) -> None:
    """Search for what is there now, then put there what was found."""
    wanted = grid.wanted()
    grid.field.measure(wanted, grid.offered)
    grid.field.sweep(wanted, grid.offered, rng, reaches, s.loyalty)
    grid.vote()
