"""PatchMatch: for every patch of a hole a like one of the known area (Barnes et al. 2009).

Grids are (H, W) with a border of ``EDGE`` pixels that is never a source, and are worked on flat, so
that a step to a neighbour is one addition. Every pixel that a patch of the hole reaches is a
target; its match is the flat index of a source.

Several searches of one grid, which begin elsewhere (``starts``), run side by side: what is known is
the same for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.paint.exemplar.patches import RADIUS

EDGE = 16  # width of the border; no step is longer
JUMPS = (1, 3, 9)  # how far neighbours pass on what they found
FLOOR = 4.0  # squared levels added to every distance before that
AT_ONCE = 1 << 13  # places that are weighed in one go: more do not fit a processor's own memory


@dataclass
class Field:
    """The matches of one level. K searches side by side, each H*W places and N targets."""

    width: int  # of the padded grid
    targets: Tensor  # (N,) flat places, sorted
    places: Tensor  # (K*N,) the same in ``match``, search after search
    halves: tuple[Tensor, Tensor]  # indices into places, of one chequerboard colour each
    source: Tensor  # (H*W,) bool
    sources: Tensor  # (S,) flat places
    match: Tensor  # (K*H*W,) flat place of a source; -1 where there is no target
    distance: Tensor  # (K*N,)

    @classmethod
    def build(
        cls, target: NDArray[np.bool_], source: NDArray[np.bool_], starts: int = 1
    ) -> Field:
        """From padded masks; nothing is matched yet."""
        height, width = target.shape
        targets = np.flatnonzero(target)
        parity = np.tile((targets // width + targets % width) % 2, starts)
        halves = tuple(torch.from_numpy(np.flatnonzero(parity == p)) for p in (0, 1))
        return cls(
            width=width,
            targets=torch.from_numpy(targets),
            places=repeated(torch.from_numpy(targets), height * width, starts),
            halves=(halves[0], halves[1]),
            source=torch.from_numpy(source.reshape(-1).copy()),
            sources=torch.from_numpy(np.flatnonzero(source)),
            match=torch.full((starts * height * width,), -1, dtype=torch.int64),
            distance=torch.ones(starts * len(targets)),
        )

    @property
    def starts(self) -> int:
        """How many searches these are."""
        return len(self.match) // len(self.source)

    def only(self, start: int) -> Field:
        """One of the searches alone."""
        count, size = len(self.targets), len(self.source)
        return replace(
            self,
            places=self.targets,
            halves=(self.halves[0][self.halves[0] < count], self.halves[1][self.halves[1] < count]),
            match=self.match[start * size : (start + 1) * size].clone(),
            distance=self.distance[start * count : (start + 1) * count].clone(),
        )

    def steps(self, far: int) -> Tensor:
        """Up, down, left and right, (4,)."""
        return torch.tensor([-far * self.width, far * self.width, -far, far])

    def settle(self, wanted: Tensor, rng: np.random.Generator) -> None:
        """Match every target with the ``wanted`` place (K*N,), or with any source if that is none.
        """
        inside = (wanted >= 0) & (wanted < len(self.source))
        there = torch.where(inside, wanted, 0)
        good = inside & self.source[there]
        picks = torch.from_numpy(rng.integers(0, len(self.sources), len(self.places)))
        self.match[self.places] = torch.where(good, there, self.sources[picks])

    def measure(self, wanted: Tensor, offered: Tensor) -> None:
        """The distances of all matches, of the vectors ``wanted`` (K*N, D) and ``offered``
        (H*W, D)."""
        there = offered.index_select(0, self.match[self.places])
        self.distance = (wanted - there).square_().sum(1)

    def sweep(
        self,
        wanted: Tensor,
        offered: Tensor,
        rng: np.random.Generator,
        reaches: tuple[int, ...],
        loyalty: float,
    ) -> None:
        """Offer every target what its neighbours found, and random places within ``reaches``."""
        for half in self.halves:
            if len(half):
                self._sweep(half, wanted.index_select(0, half), offered, rng, reaches, loyalty)

    def _sweep(
        self,
        half: Tensor,
        wanted: Tensor,
        offered: Tensor,
        rng: np.random.Generator,
        reaches: tuple[int, ...],
        loyalty: float,
    ) -> None:
        places = self.places[half]
        best, distance = self.match[places], self.distance[half]
        near = self._passed_on(places, self.steps(1))
        degree = (near >= 0).sum(0).clamp_(min=1)

        def cost(match: Tensor, far: Tensor) -> Tensor:
            """Of matches and their distances, (..., N)."""
            shared = (near == match.unsqueeze(-2)).sum(-2)
            return (far + FLOOR) * (1 + loyalty * (1 - shared / degree))

        lowest = cost(best, distance)

        def offer(candidates: Tensor) -> None:
            """The first of the cheapest of (C, N) places, if it is cheaper than what there is."""
            nonlocal best, distance, lowest
            good = self._is_source(candidates)
            there = offered.index_select(0, torch.where(good, candidates, 0).reshape(-1))
            far = (wanted - there.view(*candidates.shape, -1)).square_().sum(-1)
            price = cost(candidates, far).masked_fill_(~good, torch.inf)
            first = price.argmin(0, keepdim=True)
            candidate, far, price = (
                each.gather(0, first)[0] for each in (candidates, far, price)
            )
            better = price < lowest
            best = torch.where(better, candidate, best)
            distance = torch.where(better, far, distance)
            lowest = torch.where(better, price, lowest)

        steps = torch.cat([self.steps(jump) for jump in JUMPS])
        for some in steps.split(max(AT_ONCE // len(half), 1)):
            offer(self._passed_on(places, some))
        for reach in reaches:
            if reach <= 0:
                picks = torch.from_numpy(rng.integers(0, len(self.sources), len(half)))
                offer(self.sources[picks][None])
                continue
            dy, dx = torch.from_numpy(rng.integers(-reach, reach + 1, (2, len(half))))
            column = best % self.width + dx
            fine = (column >= 0) & (column < self.width)
            offer(torch.where(fine, best + dy * self.width + dx, -1)[None])
        self.match[places] = best
        self.distance[half] = distance

    def _passed_on(self, places: Tensor, steps: Tensor) -> Tensor:
        """What the neighbours (C,) ``steps`` away from (N,) places suggest: their own match, a step
        back; -1 if there is none."""
        found = self.match.take(places + steps[:, None])
        return torch.where(found >= 0, found - steps[:, None], -1)

    def _is_source(self, places: Tensor) -> Tensor:
        """False beyond the grid, whose border holds none."""
        return self.source.take(places.clamp(0, len(self.source) - 1))

    def vote(
        self, picture: Tensor, hole: Tensor, weight: Tensor, radius: int = RADIUS
    ) -> Tensor:
        """The colours (M, C) that the patches around the ``hole`` pixels (M,) put there.

        ``picture`` is (H*W, C), ``weight`` (K*H*W,) that of every target (Wexler et al. 2007, 3.2).
        Patches are asked whose middles are at most ``radius`` pixels away, across and down.
        """
        total = torch.zeros(len(hole), picture.shape[1])
        mass = torch.zeros(len(hole))
        reach = torch.arange(-radius, radius + 1)
        for steps in reach[:, None] * self.width + reach:  # a row of the patch at once
            near = hole + steps[:, None]
            voices = weight.take(near)  # none outside the picture
            there = self.match.take(near).sub_(steps[:, None]).clamp_(min=0)
            heard = picture.index_select(0, there.view(-1)).view(*there.shape, -1)
            for colours, voice in zip(heard, voices, strict=True):
                total.addcmul_(colours, voice[:, None])
                mass += voice
        return total / mass.clamp_(min=1e-30)[:, None]


def repeated(places: Tensor, size: int, starts: int) -> Tensor:
    """Flat ``places`` (N,) of a grid of ``size`` places, in as many grids one after the other."""
    return (torch.arange(starts)[:, None] * size + places).reshape(-1)
