"""Pictures as batches of tensors, made by worker processes."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from engine.training.pieces import Picture, Pictures


def to_pixels(picture: Picture) -> Tensor:
    """(side, side, 3) bytes to (3, side, side) in [-1, 1]."""
    return torch.from_numpy(picture).permute(2, 0, 1).float() / 127.5 - 1


class _Items(Dataset[tuple[Tensor, int]]):
    def __init__(self, pictures: Pictures):
        self.pictures = pictures

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        picture, label = self.pictures[index]
        return to_pixels(picture), label


class _Slices:
    """Indices of one process's batches: rank r of N takes the r-th slice of each step's N."""

    def __init__(self, batch: int, *, first_step: int, rank: int, world: int):
        self.batch, self.first_step, self.rank, self.world = batch, first_step, rank, world

    def __iter__(self) -> Iterator[list[int]]:
        step = self.first_step
        while True:
            start = (step * self.world + self.rank) * self.batch
            yield list(range(start, start + self.batch))
            step += 1


def batches(
    pictures: Pictures,
    batch: int,
    *,
    first_step: int = 0,
    rank: int = 0,
    world: int = 1,
    workers: int = 0,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless batches from `first_step` on: pictures (B, 3, side, side), labels (B,)."""
    slices = _Slices(batch, first_step=first_step, rank=rank, world=world)
    loader: DataLoader[tuple[Tensor, int]] = DataLoader(
        _Items(pictures),
        batch_sampler=slices,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    yield from loader
