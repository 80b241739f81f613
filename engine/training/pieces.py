"""What pictures are made up of: random crops, colours and gradients, each by a keyed generator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

T = TypeVar("T")
Picture = npt.NDArray[np.uint8]  # (side, side, 3) RGB
CROP = (0.55, 1.0)  # side of the crop of a photo, of the photo's shorter side


class Pictures(Protocol):
    """An endless split of a data set.

    `names` are the labels of a model trained on it: the classes, then names of things if there are
    any; `members` says which things a class stands for.
    """

    classes: tuple[str, ...]
    names: tuple[str, ...]
    members: Mapping[str, tuple[str, ...]]

    @property
    def digest(self) -> str:
        """A short name for what the data is made of; both splits have the same."""

    def __getitem__(self, index: int) -> tuple[Picture, int]:
        """Picture number `index` and its class id, or `len(names)` where it has none."""

    def fine_label(self, index: int) -> int:
        """The id, in `names`, of the thing that picture number `index` shows; else of its class,
        or `len(names)`."""


TINT = 0.08  # a photo's channels are each multiplied by 1 +- TINT


def keyed_generator(seed: int, *key: int) -> np.random.Generator:
    """Noise that depends on the key only, not on what was drawn before."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, *key))))


def resized(picture: Picture, width: int, height: int) -> Picture:
    """Area average when it shrinks, cubic when it grows."""
    shrinks = height < picture.shape[0] or width < picture.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    out: Picture = np.asarray(cv2.resize(picture, (width, height), interpolation=how))
    return out


def random_crop(
    picture: Picture, side: int, rng: np.random.Generator, *, smallest: float = CROP[0]
) -> Picture:
    """A square crop, at random mirrored, resized to `side`."""
    height, width = picture.shape[:2]
    crop = round(min(height, width) * rng.uniform(smallest, CROP[1]))
    top, left = rng.integers(height - crop + 1), rng.integers(width - crop + 1)
    square = resized(picture[top : top + crop, left : left + crop], side, side)
    return np.ascontiguousarray(square[:, ::-1]) if rng.random() < 0.5 else square


def choice(options: Sequence[T], rng: np.random.Generator) -> T:
    """One of `options`, each as likely."""
    return options[int(rng.integers(len(options)))]


def random_colour(rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """RGB, 0 to 255, mostly light; white now and then."""
    if rng.random() < 0.15:
        return np.full(3, 255, dtype=np.float32)
    hue, saturation = rng.uniform(0, 180), rng.beta(1.5, 2.5)
    value = rng.beta(4, 1.3)
    hsv = np.array([[[hue, saturation * 255, value * 255]]]).astype(np.uint8)
    colour: npt.NDArray[np.float32] = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0].astype(np.float32)
    return colour


def gradient(
    first: npt.NDArray[np.float32], last: npt.NDArray[np.float32], side: int, direction: float
) -> Picture:
    """A linear gradient from one colour to another, across the picture's full extent."""
    line = np.linspace(-1, 1, side, dtype=np.float32)
    along = np.cos(direction) * line[None, :] + np.sin(direction) * line[:, None]
    along = (along - along.min()) / (along.max() - along.min())
    mixed = first + (last - first) * along[..., None]
    pixels: Picture = mixed.round().astype(np.uint8)
    return pixels
