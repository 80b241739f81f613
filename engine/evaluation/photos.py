"""Edits of photos whose truth is known: any folder of pictures, holes of the six families.

The middle square of each photo, scaled down to a side where it is larger, is the truth. What fills
the hole is measured in it against that: the editor with its default and with other options, and
classical fills beside it. A hole follows a photo's name alone, so other photos in the folder change
nothing.
"""

from __future__ import annotations

import re
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from engine import ImageError, RequestError
from engine.arrays import RGB, Mask, to_bytes
from engine.editor import Editor
from engine.evaluation.edits import Case
from engine.evaluation.families import FAMILIES, make_mask
from engine.evaluation.flip import see
from engine.evaluation.levers import Changes
from engine.evaluation.lpips import Lpips
from engine.evaluation.metrics import edge_gradient, perceptual_seen
from engine.evaluation.records import Line
from engine.evaluation.sheets import masked, save, sheet
from engine.frames.fill import fill_hole
from engine.paint.exemplar.filling import fill
from engine.paint.exemplar.settings import Settings
from engine.picture.files import open_image
from engine.request.options import EditOptions

SIDE = 384
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
ON_A_SHEET = 10
ONCE = Settings(starts=1)


def _patches(picture: RGB, mask: Mask) -> RGB:
    """The picture's own patches, begun once; what none of them fits is left to Telea's method."""
    filled = _classical("telea")(picture, mask)
    for piece in fill(picture, mask, settings=ONCE):
        piece.paste(filled)
    return filled


def _classical(method: str) -> Callable[[RGB, Mask], RGB]:
    return lambda picture, mask: to_bytes(fill_hole(picture.astype(np.float32), mask, method))


BASELINES: Mapping[str, Callable[[RGB, Mask], RGB]] = {
    "telea": _classical("telea"),
    "navier_stokes": _classical("navier_stokes"),
    "patches": _patches,
}


@dataclass(frozen=True)
class Photos:
    """The pictures of a folder, by name, as squares of at most ``side`` pixels."""

    files: tuple[Path, ...]
    side: int = SIDE

    @classmethod
    def of(cls, folder: Path, side: int = SIDE) -> Photos:
        """Raises RequestError where there are none."""
        if not folder.is_dir():
            raise RequestError(f"{folder}: no such folder; name one with photos in it")
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
        if not files:
            raise RequestError(f"{folder}: no pictures in it; put some there, such as .jpg files")
        return cls(tuple(files), side)

    def __len__(self) -> int:
        return len(self.files)

    def name(self, index: int) -> str:
        return self.files[index].stem

    def picture(self, index: int) -> RGB:
        """The middle square of a photo. Raises ImageError."""
        pixels = np.asarray(open_image(self.files[index]).convert("RGB"))
        height, width = pixels.shape[:2]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        square: RGB = np.ascontiguousarray(pixels[top : top + side, left : left + side])
        if side <= self.side:
            return square
        size = (self.side, self.side)
        return np.asarray(cv2.resize(square, size, interpolation=cv2.INTER_AREA), np.uint8)

    def mask(self, index: int, family: str, seed: int) -> Mask:
        """The hole of a family in a photo."""
        key = zlib.crc32(f"{family}-{self.name(index)}".encode()) + seed
        return make_mask(family, len(self.picture(index)), np.random.default_rng(key))


def group_of(name: str) -> str:
    """The photo that a crop is of: "dune-a" and "dune-b" are two of one, which count together."""
    return re.sub(r"-[a-z0-9]$", "", name)


@dataclass(frozen=True)
class PhotoMeasure:
    """Measures one photo after the other: each row of options, and each other fill."""

    editor: Editor
    photos: Photos
    options: EditOptions
    rows: Mapping[str, Changes]
    seed: int
    families: tuple[str, ...] = FAMILIES
    lpips: Lpips | None = None
    baselines: Mapping[str, Callable[[RGB, Mask], RGB]] = field(default_factory=lambda: BASELINES)

    def line(self, index: int) -> Line:
        """Photo number ``index``: family -> row or fill -> what was measured."""
        picture = self.photos.picture(index)
        seen = see(picture)
        looked = None if self.lpips is None else self.lpips.look(picture)
        line: Line = {"index": index, "name": self.photos.name(index), "families": {}}
        for family in self.families:
            mask = self.photos.mask(index, family, self.seed)
            real, found = max(edge_gradient(picture, mask), 1e-6), {}
            for name, result, seconds in self.answers(picture, mask):
                learned = None
                if self.lpips is not None and looked is not None:
                    apart = self.lpips.between(looked, self.lpips.look(result), mask.shape)
                    learned = float(apart[mask].mean())
                found[name] = {
                    "lpips": learned,
                    "perceptual": perceptual_seen(seen, see(result), mask),
                    "seam": edge_gradient(result, mask) / real - 1,
                    "seconds": seconds,
                }
            line["families"][family] = found
        return line

    def answers(self, picture: RGB, mask: Mask) -> Iterator[tuple[str, RGB, float]]:
        """What each way of filling makes of a hole, by name, and the seconds it took."""
        for name, fills in self.baselines.items():
            began = time.perf_counter()
            result = fills(picture, mask)
            yield name, result, time.perf_counter() - began
        case = Case(self.editor, picture, mask, None, "inpaint", context=None)
        given = self.options.model_dump(exclude_none=True, exclude_unset=True)
        for name, changes in self.rows.items():
            options = EditOptions(**{**given, "seed": self.seed, "variations": 1, **changes})
            edited = case.edit(options)
            yield name, edited.result, edited.seconds

    def sheets(self, folder: Path, count: int) -> Iterator[Path]:
        """A contact sheet a family: photos spread evenly over the first ``count``, all answers."""
        picked = np.unique(np.linspace(0, count - 1, min(count, ON_A_SHEET)).round().astype(int))
        for family in self.families:
            rows, heads = [], ["original", f"mask: {family}", *self.baselines, *self.rows]
            for index in picked.tolist():
                picture, mask = self.photos.picture(index), self.photos.mask(
                    index, family, self.seed
                )
                made = [result for _, result, _ in self.answers(picture, mask)]
                rows.append([picture, masked(picture, mask), *made])
            names = [self.photos.name(index) for index in picked.tolist()]
            yield save(folder / f"photos-{family}.jpg", sheet(rows, heads, names, 192))


def check(photos: Photos, count: int) -> None:
    """Whether the first ``count`` can be read, before hours of work. Raises ImageError."""
    for index in range(count):
        side = len(photos.picture(index))
        if side < 64:
            raise ImageError(
                f"{photos.files[index]}: {side} pixels are too few; give photos of 64 or more"
            )
