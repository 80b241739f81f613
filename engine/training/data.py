"""Training pictures: an endless, repeatable stream that is a pure function of (seed, index).

`open_pictures` opens the sticker set that `prepare` wrote, whose composites are made fresh, or
any folder of pictures with one subfolder a class. Picture number `index` of a split never changes,
so a resumed run needs to know its step and nothing else, and N processes read N slices of the one
stream. Classes are balanced: each is drawn as often as any other, however many pictures it has.

This file knows nothing of networks.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageOps

from engine import ImageError, RequestError
from engine.picture.files import open_image
from engine.training.photos import Photo, Split, held_out
from engine.training.pieces import (
    CROP,
    TINT,
    Picture,
    Pictures,
    choice,
    gradient,
    keyed_generator,
    random_colour,
    random_crop,
    resized,
)
from engine.training.prepare import Icon

PICTURE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}

# How a composite is made up; see facts in `StickerSet`.
BARE = 0.20  # share of pictures that are scenery without an object
POSED = 0.85  # share of objects that are the class's named things, as they are to be drawn
POSED_SIZE = 0.66  # longer side of those, of the picture's side; they are in the very middle
ON_PHOTO, ON_GRADIENT = 0.50, 0.28  # backgrounds of objects; the rest is a plain colour
OBJECT = (0.5, 0.95)  # longer side of any other object, of the picture's side
SNAPPED = 0.5  # share of those upright, in one of a few sizes, in steps of a grid
SNAPPED_SIZES = (0.55, 0.7, 0.85)
STEPS = 16  # of the grid, across the picture: the finest token map's side
TILT = 6.0  # standard deviation of an object's rotation, degrees
CLOSE = 0.3  # of ordinary photos: side of the closest crop, of the photo's shorter side
CLOSEST = 216  # pixels of the photo that a crop has at least: no closer, or it is blurred
EXPOSURE = 0.2  # an ordinary photo is this much darker or lighter at most

SPLITS = {"train": 0, "val": 1}


@dataclass(frozen=True)
class Subject:
    """What a picture shows: a photo or an icon, its class, and its name if it is a named thing."""

    label: str | None
    what: Photo | Icon
    thing: str | None = None


class _Portable:
    """Goes to a worker process without what `_open` sets, which each process has for itself."""

    opened = ("bitmaps", "_load")

    def _open(self) -> None:
        raise NotImplementedError

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in self.opened}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._open()


class StickerSet(_Portable):
    """Objects on scenery: fresh composites of icons and photos, see `prepare`.

    The training split shows the named things (`iconic.py`) mostly as an editor will ask for them:
    upright, in the middle, of one size, so that each is seen often enough to be learned by heart.
    Everything else has any size, place and tilt, since a photo's objects do.

    ``plain`` is the share of pictures that are photos as they are, without a label: crops from the
    whole photo down to its textures.
    """

    def __init__(self, folder: Path, *, side: int, split: Split, seed: int = 0, plain: float = 0.0):
        content = (folder / "index.json").read_bytes()
        index, self.digest = json.loads(content), hashlib.sha256(content).hexdigest()[:12]
        self.plain = plain
        if plain:
            self.digest += f"-plain{plain:g}"
        self.classes: tuple[str, ...] = tuple(index["classes"])
        self.side, self.split, self.seed = side, split, seed
        self.folder = folder
        self.photos = [Photo(**p) for p in index["photos"] if p["split"] == split]
        self.icons: dict[str, dict[str, list[Icon]]] = {}  # class -> concept -> drawings
        for fields in index["icons"]:
            if fields["split"] == split:
                icon = Icon(**fields)
                self.icons.setdefault(icon.label, {}).setdefault(icon.concept, []).append(icon)
        rows = set(index.get("things", []))
        self.things: dict[str, dict[str, list[Icon]]] = {}  # class -> name -> drawings
        for fields in index["icons"]:
            if fields["row"] in rows:
                icon = Icon(**fields)
                taken = icon.concept in self.classes  # such a thing says which class it is of
                name = f"{icon.concept} ({icon.label})" if taken else icon.concept
                self.things.setdefault(icon.label, {}).setdefault(name, []).append(icon)
        self.members: Mapping[str, tuple[str, ...]] = {
            label: tuple(things) for label, things in self.things.items()
        }
        self.names = (*self.classes, *(name for each in self.members.values() for name in each))
        self.name_ids = {name: number for number, name in enumerate(self.names)}
        self.backgrounds = [photo for photo in self.photos if photo.background]
        self.scenery: dict[str, list[Photo]] = {}
        for photo in self.photos:
            if photo.label:
                self.scenery.setdefault(photo.label, []).append(photo)
        self._open()

    def _open(self) -> None:
        self.bitmaps = np.load(self.folder / "icons.npy", mmap_mode="r")  # (N, 256, 256, 4)
        self._load = lru_cache(maxsize=None)(self._read_photo)

    def _read_photo(self, file: str) -> Picture:
        with Image.open(self.folder / "photos" / file, formats=("PNG",)) as picture:
            return np.asarray(picture.convert("RGB"))

    def __getitem__(self, index: int) -> tuple[Picture, int]:
        rng, subject = self._subject(index)
        if subject.label is None:
            assert isinstance(subject.what, Photo)
            return self._plain(subject.what, rng), len(self.names)
        if isinstance(subject.what, Photo):
            picture = self._photo(subject.what, rng, smallest=0.7)
        else:
            posed = subject.thing is not None
            picture = self._paste(self._background(rng), subject.what, rng, posed=posed)
        return picture, self.name_ids[subject.label]

    def fine_label(self, index: int) -> int:
        _, subject = self._subject(index)
        name = subject.thing or subject.label
        return len(self.names) if name is None else self.name_ids[name]

    def _subject(self, index: int) -> tuple[np.random.Generator, Subject]:
        """What a picture shows, and the noise for the rest of it."""
        rng = keyed_generator(self.seed, SPLITS[self.split], index)
        if self.plain and rng.random() < self.plain:
            return rng, Subject(None, choice(self.photos, rng))
        if rng.random() < BARE:
            label = choice(list(self.scenery), rng)
            return rng, Subject(label, choice(self.scenery[label], rng))
        label = choice(list(self.icons), rng)
        if self.split == "train" and label in self.things and rng.random() < POSED:
            thing = choice(self.members[label], rng)
            return rng, Subject(label, choice(self.things[label][thing], rng), thing)
        concept = choice(list(self.icons[label]), rng)
        return rng, Subject(label, choice(self.icons[label][concept], rng))

    def _photo(self, photo: Photo, rng: np.random.Generator, *, smallest: float) -> Picture:
        crop = random_crop(self._load(photo.file), self.side, rng, smallest=smallest)
        tint = rng.uniform(1 - TINT, 1 + TINT, size=3)
        return (crop * tint).clip(0, 255).astype(np.uint8)

    def _plain(self, photo: Photo, rng: np.random.Generator) -> Picture:
        shorter = min(self._load(photo.file).shape[:2])
        crop = self._photo(photo, rng, smallest=min(max(CLOSE, CLOSEST / shorter), CROP[1]))
        exposure = rng.uniform(1 - EXPOSURE, 1 + EXPOSURE)
        return (crop * exposure).clip(0, 255).astype(np.uint8)

    def _background(self, rng: np.random.Generator) -> Picture:
        kind = rng.random()
        if kind < ON_PHOTO:
            return self._photo(choice(self.backgrounds, rng), rng, smallest=CROP[0])
        first = random_colour(rng)
        if kind < ON_PHOTO + ON_GRADIENT:
            return gradient(first, random_colour(rng), self.side, rng.uniform(0, 2 * np.pi))
        return np.full((self.side, self.side, 3), first.round(), dtype=np.uint8)

    def _paste(
        self, background: Picture, icon: Icon, rng: np.random.Generator, *, posed: bool = False
    ) -> Picture:
        """The icon in the picture, wholly inside it if it fits.

        ``posed`` ones are where an editor asks for them. Of the others half are upright, of a few
        sizes and in steps of whole tokens: a shift by a token is the same token map shifted.
        """
        left, top, right, bottom = icon.box
        bitmap = np.asarray(self.bitmaps[icon.row, top:bottom, left:right])
        snapped = posed or rng.random() < SNAPPED
        size = choice(SNAPPED_SIZES, rng) if snapped else rng.uniform(*OBJECT)
        longer = self.side * (POSED_SIZE if posed else size)
        scale = longer / max(bitmap.shape[:2])
        height, width = (max(round(length * scale), 1) for length in bitmap.shape[:2])
        bitmap = resized(bitmap, width, height)
        tilt = 0.0
        away_x, away_y = rng.uniform(-1, 1, size=2)  # from the middle, of the room there is
        room_x, room_y = max(self.side - width, 0) / 2, max(self.side - height, 0) / 2
        away_x, away_y = away_x * room_x, away_y * room_y
        step = self.side / STEPS
        if posed:
            away_x = away_y = 0.0
        elif snapped:
            away_x, away_y = int(away_x / step) * step, int(away_y / step) * step
        else:
            tilt = float(np.clip(rng.normal(0, TILT), -2 * TILT, 2 * TILT))
            if rng.random() < 0.5:
                bitmap = bitmap[:, ::-1]
        shift_x, shift_y = (self.side - width) / 2 + away_x, (self.side - height) / 2 + away_y
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), tilt, 1.0)
        matrix[:, 2] += (shift_x, shift_y)
        placed = cv2.warpAffine(np.ascontiguousarray(bitmap), matrix, (self.side, self.side))
        covered = placed[..., 3:].astype(np.float32) / 255
        mixed = background * (1 - covered) + placed[..., :3]  # colour is premultiplied
        return mixed.round().clip(0, 255).astype(np.uint8)


class PictureFolder(_Portable):
    """Any folder of pictures with one subfolder a class; the validation split is by file."""

    def __init__(self, folder: Path, *, side: int, split: Split, seed: int = 0):
        found = {
            sub.name: sorted(
                path for path in sub.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES
            )
            for sub in sorted(folder.iterdir())
            if sub.is_dir()
        }
        found = {name: files for name, files in found.items() if files}
        if not found:
            raise RequestError(
                f"no training pictures in {folder}: expected one subfolder a class with "
                f"{', '.join(sorted(PICTURE_SUFFIXES))} files inside"
            )
        self.folder, self.found = folder, found
        self.classes = self.names = tuple(found)
        self.members: Mapping[str, tuple[str, ...]] = {}
        self.side, self.split, self.seed = side, split, seed
        validation = held_out(
            {
                name: [str(path.relative_to(folder)) for path in files]
                for name, files in found.items()
            }
        )
        if not validation:
            raise RequestError(
                f"too few pictures in {folder}: a class needs two, one of them for validation"
            )
        self.files: dict[str, list[Path]] = {}
        for name, files in found.items():
            chosen = [
                path
                for path in files
                if (str(path.relative_to(folder)) in validation) == (split == "val")
            ]
            if chosen:
                self.files[name] = chosen
        self._open()

    def _open(self) -> None:
        self._load = lru_cache(maxsize=1000)(self._read)

    @property
    def digest(self) -> str:
        """Of the list of files with their sizes. Raises ImageError for one that is not there."""
        listed = hashlib.sha256()
        for path in chain.from_iterable(self.found.values()):
            try:
                size = path.stat().st_size
            except OSError as error:
                raise ImageError(f"cannot read the training picture {path}: {error}") from error
            line = f"{path.relative_to(self.folder).as_posix()}\0{size}\0"
            listed.update(line.encode(errors="surrogateescape"))  # a name need not be text
        return listed.hexdigest()[:12]

    def _read(self, path: Path) -> Picture:
        try:
            picture = open_image(path).convert("RGB")
        except ImageError as error:
            raise ImageError(f"cannot read the training picture {error}") from None
        shorter = min(picture.size)
        if shorter > 2 * self.side:  # keep no more than a crop needs
            picture = ImageOps.scale(picture, 2 * self.side / shorter)
        return np.asarray(picture)

    def __getitem__(self, index: int) -> tuple[Picture, int]:
        rng = keyed_generator(self.seed, SPLITS[self.split], index)
        name = choice(list(self.files), rng)
        picture = self._load(choice(self.files[name], rng))
        return random_crop(picture, self.side, rng), self.classes.index(name)

    def fine_label(self, index: int) -> int:
        rng = keyed_generator(self.seed, SPLITS[self.split], index)
        return self.classes.index(choice(list(self.files), rng))


def open_pictures(
    folder: Path, *, side: int, split: Split, seed: int = 0, plain: float = 0.0
) -> Pictures:
    """The sticker set if `folder` holds one, else a folder of pictures by class.

    ``plain`` is the share of the set's photos as they are, see `StickerSet`; a folder has none.
    """
    if not folder.is_dir():
        raise RequestError(f"no such data folder: {folder}; `make data` fetches the sticker set")
    if (folder / "index.json").exists():
        return StickerSet(folder, side=side, split=split, seed=seed, plain=plain)
    return PictureFolder(folder, side=side, split=split, seed=seed)

