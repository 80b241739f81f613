"""The photos of the training set: which files, by whom, under which licence, of which scenery."""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from engine.picture.saving import whole

HELD_OUT = 0.08  # share of concepts, and of photos, in the validation split
Split = str  # "train" or "val"


def held_out(names_by_class: dict[str, list[str]]) -> set[str]:
    """A fixed choice of about HELD_OUT of the names in each class, at least one of two or more."""

    def rank(name: str) -> bytes:
        return hashlib.sha256(name.encode(errors="surrogateescape")).digest()

    chosen: set[str] = set()
    for names in names_by_class.values():
        count = max(round(HELD_OUT * len(names)), 1) if len(names) > 1 else 0
        chosen.update(sorted(names, key=rank)[:count])
    return chosen


PHOTO_HEIGHT = 720
FORMATS = ("JPEG", "PNG")  # of the photos as they are fetched
# The photo's file name, without its number -> scenery class; None serves as a background only.
SCENERY = {
    "hills": "hills", "fields": "hills", "valley": "hills",
    "canyon": "canyon", "badlands": "canyon",
    "sea": "sea & beach", "beach": "sea & beach",
    "water": "lake",
    "desert": "desert", "dune": "desert",
    "forest": "forest", "fog": "forest",
    "city": "city",
    "snow": "snow",
    "mountain": "mountain",
    "sky": "sky",
    "lava": None,
}  # fmt: skip
# Named without an author's suffix ("mountain12-sfiera" is CC-BY-SA) and with a prefix in SCENERY
# (which leaves out the Wikimedia authors' photos and the dark clutter of space and stations).
PUBLIC_DOMAIN_PHOTO = re.compile(r"^([a-z]+)\d+$")
SHARE_ALIKE_PHOTOS = {"lava5"}
# Which of them Debian's copyright file attributes to whom; the rest is from morguefile.
UNSPLASH = {
    "badlands": "0 5 7 8", "beach": "0 2 3 4 5 6", "canyon": "0 01 02 03 04 05 7",
    "city": "4 6 8 9 10 11 12", "desert": "1 2", "fields": "1 2 5 6 7 9", "fog": "0 2 4",
    "forest": "1 2 3 4 5", "hills": "2", "lava": "1 2 6", "mountain": "1 3 4 5 6 7 8 9",
    "sea": "3 8", "sky": "0 2 3 7 8 9", "snow": "0 1 2 3 4 6 7 10", "water": "0 8",
}  # fmt: skip
AGENCY = {"lava0": "USGS", "desert0": "NASA"}
# Lomiri's wallpapers that are not share-alike: file -> (author, licence).
LOMIRI = {
    "aitzgorri_by_Aitzol_Berasategi": ("Aitzol Berasategi", "CC-BY-4.0"),
    "friends_by_Aitzol_Berasategi": ("Aitzol Berasategi", "CC-BY-4.0"),
    "life_by_Aitzol_Berasategi": ("Aitzol Berasategi", "CC-BY-4.0"),
    "picosdeeuropa_by_Aitzol_Berasategi": ("Aitzol Berasategi", "CC-BY-4.0"),
    "sunset_by_Aitzol_Berasategi": ("Aitzol Berasategi", "CC-BY-4.0"),
    "Picture_0B_by_freespace": ('Trevor "Freespace"', "CC-BY-4.0"),
    "Picture_1A_by_freespace": ('Trevor "Freespace"', "CC-BY-4.0"),
    "seeding_by_Clements_Engelhardt": ("Clemens Engelhardt", "CC0-1.0"),
    "umang_by_Abhishek_Mudgal": ("Abhishek Mudgal", "CC-BY-4.0"),
    "Wine_by_Jakkub_Mede": ("Jakub Mede", "CC-BY-4.0"),
}
# scikit-learn's two photos, ordinary ones: file -> author (the package's own README).
SKLEARN = {"china": "danielbuechele", "flower": "vultilion"}
# Photographed materials of UFO: Alien Invasion, of those that Debian's copyright file names as
# public domain, CC-BY or Expat: (author, licence) -> files below base/textures.
TEXTURES = {
    ("UFO:AI contributors (Nobiax, yughues, burningwell.org and others)", "public domain"):
        "buildings/carpet008 buildings/carpet009 buildings/carpet010 buildings/carpet011 "
        "buildings/carpet012 buildings/carpet018 buildings/carpet021 buildings/carpet023 "
        "buildings/carpet025 buildings/floor005 buildings/floor_wood01 buildings/metal01 "
        "buildings/metal02 buildings/paving001 buildings/roof004 buildings/tile01 "
        "buildings/tile02 buildings/tile03 material/s_wood003 material/wood003 misc/pipes002 "
        "nature/desert009 nature/dirt002 nature/dirt003 nature/jungle001 nature/jungle002 "
        "nature/potatoes nature/railway nature/rock017 nature/rock018 nature/stone001",
    ("Nate Wright, bart, Ernst Wurdack, Hannes Grobe, MCR", "CC-BY-3.0"):
        "buildings/floor021 buildings/wall023 buildings/wall024 buildings/wall025",
    ('Georges "TRaK" Grondin', "MIT"):
        "trak/floor2a trak/tile5e trak/trak4_brick1 trak/trak4_brick2 trak/trak4_brick2a "
        "trak/trak4_brick2b trak/trak4_concrete1a trak/trak4_concrete1b trak/trak4_concrete2a "
        "trak/trak4_concrete3 trak/trak4_concrete4a trak/trak4_concrete4b "
        "trak/trak4_concrete5a trak/trak4_plaster3b trak/trak4_plaster3c-3",
}  # fmt: skip
TEXTURE_ARCHIVE = "ufoai/usr/share/games/ufoai/base/0textures.pk3"  # a zip file


@dataclass(frozen=True)
class Photo:
    """One photo; most are landscapes, and those with a label say of what."""

    file: str
    label: str | None
    split: Split
    author: str
    licence: str
    background: bool = True  # whether objects are put before it, too


@dataclass(frozen=True)
class Source:
    """A photo whose licence allows training and shipping, and what is known of it."""

    path: Path
    label: str | None
    author: str
    licence: str
    background: bool = True
    archive: Path | None = None  # a zip file that `path` is in

    @property
    def name(self) -> str:
        return self.path.stem.removesuffix("@2x")

    def read(self) -> Image.Image:
        if self.archive is None:
            with Image.open(self.path, formats=FORMATS) as opened:
                return opened.convert("RGB")
        with zipfile.ZipFile(self.archive) as archive, archive.open(str(self.path)) as file:
            return Image.open(file, formats=FORMATS).convert("RGB")


def photo_sources(raw: Path) -> Iterator[Source]:
    """Landscapes, the larger copy where there is one, then what serves as it is only."""
    folder = raw / "endless-sky/usr/share/games/endless-sky/images/land"
    larger = (
        raw / "endless-sky-2x/usr/share/games/endless-sky/plugins/endless-sky-high-dpi/images/land"
    )
    for path in sorted(folder.glob("*.jpg")):
        match = PUBLIC_DOMAIN_PHOTO.match(path.stem)
        if match and match[1] in SCENERY and path.stem not in SHARE_ALIKE_PHOTOS:
            number = path.stem.removeprefix(match[1])
            unsplash = number in UNSPLASH.get(match[1], "").split()
            author = "unsplash.com" if unsplash else "morguefile.com"
            twice = larger / f"{path.stem}@2x.jpg"
            file = twice if twice.exists() else path
            yield Source(file, SCENERY[match[1]], AGENCY.get(path.stem, author), "public domain")
    for name, (author, licence) in LOMIRI.items():
        yield Source(raw / "lomiri/usr/share/backgrounds" / f"{name}.jpg", None, author, licence)
    images = raw / "sklearn/usr/lib/python3/dist-packages/sklearn/datasets/images"
    for name, author in SKLEARN.items():
        yield Source(images / f"{name}.jpg", None, author, "CC-BY-2.0", background=False)
    archive = raw / TEXTURE_ARCHIVE
    for (author, licence), names in TEXTURES.items():
        for name in names.split():
            file = Path(f"textures/tex_{name}.png")
            yield Source(file, None, author, licence, background=False, archive=archive)


def copy_photos(raw: Path, folder: Path) -> list[Photo]:
    """Write the photos as PNG into `folder`, the large ones reduced."""
    folder.mkdir(parents=True, exist_ok=True)
    sources = list(photo_sources(raw))
    by_class: dict[str, list[str]] = {}
    for source in sources:
        kind = (source.label or "") if source.background else "as it is"
        by_class.setdefault(kind, []).append(source.name)
    validation = held_out(by_class)
    photos = []
    for source in tqdm(sources, desc="photos", unit="photo"):
        picture = source.read()
        if picture.height > PHOTO_HEIGHT:
            width = round(picture.width * PHOTO_HEIGHT / picture.height)
            picture = picture.resize((width, PHOTO_HEIGHT), Image.Resampling.LANCZOS)
        file = f"{source.name}.png"
        with whole(folder / file) as stream:
            picture.save(stream, "PNG", compress_level=1)
        split = "val" if source.name in validation else "train"
        photos.append(
            Photo(file, source.label, split, source.author, source.licence, source.background)
        )
    return photos
