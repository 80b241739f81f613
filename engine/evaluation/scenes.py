"""Held-out scenes whose objects are known: what is removed, and what a region is turned into.

Scene number `index` is a pure function of (seed, index). Pictures are (S, S, 3) uint8, masks
(S, S) bool, True = regenerate.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from engine.arrays import RGB
from engine.evaluation.families import Mask
from engine.training.data import StickerSet
from engine.training.pieces import choice, keyed_generator, random_crop, resized
from engine.training.prepare import Icon

STICKER = (0.3, 0.6)  # longer side of a sticker, of the picture's
TIGHT = 0.016  # width of the rim that a mask leaves around a sticker, of the picture's side
REGION = (0.5, 0.7)  # side of a region for a class edit, of the picture's


@dataclass(frozen=True)
class Removal:
    """A sticker of class ``label`` on a photo, with a mask that just covers it."""

    picture: RGB
    mask: Mask
    label: str


@dataclass(frozen=True)
class ClassEdit:
    """A region that is to become ``label``; ``with_sticker`` has a real one of it there.

    ``finer`` names one kind of it, such as "owl" for "bird".
    """

    picture: RGB
    mask: Mask
    label: str
    finer: str
    with_sticker: RGB
    with_known_sticker: RGB


class Scenes:
    """Scenes of the validation split; ``known`` holds the drawings that models are trained on."""

    def __init__(self, unseen: StickerSet, known: StickerSet, *, seed: int) -> None:
        self.unseen, self.known, self.seed, self.side = unseen, known, seed, unseen.side
        self.objects = tuple(name for name in unseen.classes if name in unseen.icons)

    def removal(self, index: int) -> Removal:
        """A held-out sticker on a held-out photo."""
        rng = keyed_generator(self.seed, 21, index)
        photo = self._photo(rng)
        label = choice(self.objects, rng)
        picture, covered = self._with_sticker(self.unseen, photo, label, rng)
        return Removal(picture, self._around(covered), label)

    def class_edit(self, index: int) -> ClassEdit:
        """Even scenes: a box on bare scenery. Odd ones: the box of a sticker of another class."""
        rng = keyed_generator(self.seed, 22, index)
        picture = self._photo(rng)
        others = list(self.objects)
        if index % 2:
            there = choice(others, rng)
            others.remove(there)
            picture, covered = self._with_sticker(self.unseen, picture, there, rng)
            mask = _box_of(self._around(covered))
        else:
            mask = self._box(rng)
        label = choice(others, rng)
        real = [self._into(pool, picture, mask, label, rng) for pool in (self.unseen, self.known)]
        finer = choice(self.known.members.get(label, (label,)), rng)
        return ClassEdit(picture, mask, label, finer, real[0], real[1])

    def _photo(self, rng: np.random.Generator) -> RGB:
        file = choice(self.unseen.backgrounds, rng).file
        return random_crop(self.unseen._load(file), self.side, rng)

    def _box(self, rng: np.random.Generator) -> Mask:
        side = round(self.side * rng.uniform(*REGION))
        room = (self.side - side) // 2
        middle = (self.side - side) / 2
        left, top = (round(middle + rng.uniform(-room, room) / 2) for _ in range(2))
        mask = np.zeros((self.side, self.side), bool)
        mask[top : top + side, left : left + side] = True
        return mask

    def _with_sticker(
        self, pool: StickerSet, photo: RGB, label: str, rng: np.random.Generator
    ) -> tuple[RGB, Mask]:
        """A sticker somewhere on a photo, and where it covers it."""
        bitmap = _drawing(pool, label, round(self.side * rng.uniform(*STICKER)), rng)
        height, width = bitmap.shape[:2]
        left = int(rng.integers(self.side - width + 1))
        top = int(rng.integers(self.side - height + 1))
        return _pasted(photo, bitmap, left, top)

    def _into(
        self, pool: StickerSet, picture: RGB, mask: Mask, label: str, rng: np.random.Generator
    ) -> RGB:
        """A sticker as large as the mask's box allows, in its middle."""
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        longer = min(len(rows), len(columns)) * 0.95
        bitmap = _drawing(pool, label, round(longer), rng)
        height, width = bitmap.shape[:2]
        left = round((columns[0] + columns[-1] + 1 - width) / 2)
        top = round((rows[0] + rows[-1] + 1 - height) / 2)
        return _pasted(picture, bitmap, left, top)[0]

    def _around(self, covered: Mask) -> Mask:
        """The mask a careful user would paint: what is covered and a thin rim."""
        width = 2 * round(TIGHT * self.side) + 1
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
        return cv2.dilate(covered.astype(np.uint8), disc).astype(bool)


def _drawing(pool: StickerSet, label: str, longer: int, rng: np.random.Generator) -> RGB:
    """A drawing of a class, (h, w, 4) with premultiplied colour, of this longer side."""
    icons: list[Icon] = pool.icons[label][choice(list(pool.icons[label]), rng)]
    icon = choice(icons, rng)
    left, top, right, bottom = icon.box
    bitmap = np.asarray(pool.bitmaps[icon.row, top:bottom, left:right])
    scale = longer / max(bitmap.shape[:2])
    height, width = (max(round(length * scale), 1) for length in bitmap.shape[:2])
    return resized(bitmap, width, height)


def _pasted(photo: RGB, bitmap: RGB, left: int, top: int) -> tuple[RGB, Mask]:
    height, width = bitmap.shape[:2]
    covered = np.zeros(photo.shape[:2], bool)
    covered[top : top + height, left : left + width] = bitmap[..., 3] > 4
    result = photo.copy()
    part = result[top : top + height, left : left + width]
    alpha = bitmap[..., 3:].astype(np.float32) / 255
    part[...] = (part * (1 - alpha) + bitmap[..., :3]).round().clip(0, 255).astype(np.uint8)
    return result, covered


def _box_of(mask: Mask) -> Mask:
    """The smallest box around a mask, as a mask."""
    return np.outer(mask.any(1), mask.any(0))
