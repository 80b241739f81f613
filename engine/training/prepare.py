"""Turn the raw packages into the sticker set: icons, photos, an index and credits.

    stickers/
      index.json      what each icon and photo is: concept, style, class, split, licence; and which
                      icons are learned by name (`iconic.py`)
      icons.npy       (N, 256, 256, 4) uint8, colour premultiplied by alpha
      photos/*.png    landscape photos, at most 720 px high
      CREDITS.md      who made what, under which licence

A *concept* ("dog face") recurs in up to four *styles* (noto, twemoji, fluent, fxemoji); the
validation split is drawn by concept and by photo, so that no drawing of a held-out concept and
no crop of a held-out photo is ever trained on.
"""

import io
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import resvg_py
from PIL import Image
from tqdm import tqdm

from engine.picture.saving import whole, write_whole
from engine.training.iconic import STYLE, THINGS
from engine.training.photos import SCENERY, Photo, Split, copy_photos, held_out

SIDE = 256

# Unicode subgroups -> our class. Tones, flags, people, symbols and clock faces are left out, and so
# are books and hands: too many kinds of thing under one name.
SUBGROUPS = {
    "mammal": ("animal-mammal",),
    "bird": ("animal-bird",),
    "sea life": ("animal-marine", "food-marine"),
    "bug": ("animal-bug",),
    "reptile": ("animal-reptile", "animal-amphibian"),
    "flower": ("plant-flower",),
    "plant": ("plant-other",),
    "fruit": ("food-fruit",),
    "vegetable": ("food-vegetable",),
    "meal": ("food-prepared", "food-asian"),
    "sweet": ("food-sweet",),
    "drink": ("drink",),
    "land vehicle": ("transport-ground",),
    "aircraft": ("transport-air",),
    "boat": ("transport-water",),
    "building": ("place-building", "place-religious"),
    "place": ("place-geographic", "place-other"),
    "weather": ("sky & weather",),
    "sport": ("sport", "award-medal"),
    "party & game": ("event", "game", "arts & crafts"),
    "music": ("music", "musical-instrument"),
    "clothing": ("clothing",),
    "tool": ("tool", "science", "lock", "medical"),
    "household": ("household",),
    "gadget": ("phone", "computer", "light & video", "sound"),
    "heart": ("heart",),
    "face": (
        "face-smiling", "face-affection", "face-tongue", "face-hand", "face-neutral-skeptical",
        "face-sleepy", "face-unwell", "face-hat", "face-glasses", "face-concerned",
        "face-negative", "face-costume", "cat-face", "monkey-face",
    ),
}  # fmt: skip
CLASS_OF_SUBGROUP = {group: name for name, groups in SUBGROUPS.items() for group in groups}
# Near copies of one another; one crescent and one full moon remain.
NEAR_DUPLICATE = re.compile(r"^(new|first quarter|last quarter|waxing|waning) .*moon")
# In a subgroup, but not what the class's name says.
MISPLACED = {
    "bus stop", "motorway", "railway track", "oil drum", "fuel pump", "wheel", "police car light",
    "horizontal traffic light", "vertical traffic light", "stop sign", "construction",
    "seat", "anchor", "ring buoy", "hot springs", "barber pole", "muted speaker", "thermometer",
    "feather", "spider web", "paw prints", "world map", "map of Japan",
}  # fmt: skip

CLASSES = (*SUBGROUPS, *dict.fromkeys(name for name in SCENERY.values() if name))

STYLES = {
    "noto": "Noto Emoji, © Google Inc, Apache-2.0 (npm `@iconify-json/noto`)",
    "twemoji": "Twemoji, © Twitter, Inc and other contributors, jdecked and other contributors, "
    "graphics CC-BY-4.0 (npm `@iconify-json/twemoji`)",
    "fluent": "Fluent Emoji 3D, © Microsoft Corporation, MIT (npm `@lobehub/fluent-emoji-3d`)",
    "fxemoji": "FxEmojis, © Mozilla Foundation, Apache-2.0 (npm `@iconify-json/fxemoji`)",
}

LICENCES = """\
## Licences

Apache-2.0: licensed under the Apache License, Version 2.0; you may obtain a copy at
<https://www.apache.org/licenses/LICENSE-2.0>. CC-BY-4.0:
<https://creativecommons.org/licenses/by/4.0/>. CC0-1.0:
<https://creativecommons.org/publicdomain/zero/1.0/>. All icons were rendered, resized and
composited; the photos were cropped, resized and tinted.

Fluent Emoji, MIT License, Copyright (c) Microsoft Corporation:

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
associated documentation files (the "Software"), to deal in the Software without restriction,
including without limitation the rights to use, copy, modify, merge, publish, distribute,
sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or
substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT
NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM,
DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT
OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""

RGBA = npt.NDArray[np.uint8]  # (256, 256, 4)


@dataclass(frozen=True)
class Icon:
    """One drawing of one concept; `box` is the bounding box of what is not transparent."""

    row: int  # in icons.npy
    concept: str
    style: str
    label: str
    split: Split
    box: tuple[int, int, int, int]  # left, top, right, bottom


@dataclass(frozen=True)
class Concept:
    """One emoji of Unicode: code points ("1f436"), name ("dog face"), our class."""

    code: str
    name: str
    label: str

    @property
    def slug(self) -> str:
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower().replace("’", "")).strip("-")


def concepts(emoji_test: str) -> list[Concept]:
    """The concepts of the classes in SUBGROUPS, from the text of Unicode's `emoji-test.txt`."""
    found, label = [], None
    for line in emoji_test.splitlines():
        if line.startswith("# subgroup:"):
            label = CLASS_OF_SUBGROUP.get(line.split(":", 1)[1].strip())
        elif label and "; fully-qualified" in line:
            code = "-".join(line.split(";")[0].lower().split())
            name = line.split("#", 1)[1].split(maxsplit=2)[2]
            if not NEAR_DUPLICATE.match(name) and name not in MISPLACED:
                found.append(Concept(code.replace("-fe0f", ""), name, label))
    return found


def render(svg: str) -> Image.Image:
    """An SVG document as a 256 px RGBA picture."""
    data = resvg_py.svg_to_bytes(svg_string=svg, width=SIDE, height=SIDE, skip_system_fonts=True)
    return Image.open(io.BytesIO(data), formats=("PNG",)).convert("RGBA")


class IconifySet:
    """One Iconify package: an SVG body for each icon name."""

    def __init__(self, package: Path):
        icons = json.loads((package / "icons.json").read_text())
        self.bodies: dict[str, str] = {name: icon["body"] for name, icon in icons["icons"].items()}
        self.size = (icons["width"], icons["height"])
        chars = package / "chars.json"
        self.names: dict[str, str] = json.loads(chars.read_text()) if chars.exists() else {}

    def draw(self, concept: Concept) -> Image.Image | None:
        """The concept's picture; by code point where the package lists them, else by name."""
        name = self.names.get(concept.code, concept.slug)
        body = self.bodies.get(name) or self.bodies.get(name.replace("-", ""))
        if body is None:
            return None
        width, height = self.size
        head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">'
        return render(f"{head}{body}</svg>")


class FluentSet:
    """The 3D Fluent icons: a 256 px WebP for each code point sequence."""

    def __init__(self, package: Path):
        self.files = {
            path.stem.replace("-fe0f", ""): path for path in (package / "assets").glob("*.webp")
        }

    def draw(self, concept: Concept) -> Image.Image | None:
        path = self.files.get(concept.code)
        if path is None:
            return None
        with Image.open(path, formats=("WEBP",)) as picture:
            rgba = picture.convert("RGBA")
        return rgba if rgba.size == (SIDE, SIDE) else rgba.resize((SIDE, SIDE))


def premultiplied(picture: Image.Image) -> RGBA:
    """RGBA with colour times alpha: what resizing and rotating without dark rims needs."""
    rgba = np.asarray(picture, dtype=np.float32)
    rgba = np.concatenate([rgba[..., :3] * (rgba[..., 3:] / 255), rgba[..., 3:]], axis=-1)
    return rgba.round().astype(np.uint8)


def bounding_box(rgba: RGBA) -> tuple[int, int, int, int] | None:
    """Box of the pixels that can be seen, or None for a blank icon or a mere fragment."""
    seen = rgba[..., 3] > 8
    if seen.mean() < 0.02:
        return None
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def draw_icons(raw: Path) -> tuple[list[Icon], list[RGBA]]:
    """Every usable drawing of every concept, in all styles."""
    emoji_test = raw / "unicode/usr/share/unicode/emoji/emoji-test.txt"
    wanted = concepts(emoji_test.read_text(encoding="utf-8"))
    by_class: dict[str, list[str]] = {}
    for concept in wanted:
        by_class.setdefault(concept.label, []).append(concept.name)
    validation = held_out(by_class)

    sets: dict[str, IconifySet | FluentSet] = {
        "noto": IconifySet(raw / "noto/package"),
        "twemoji": IconifySet(raw / "twemoji/package"),
        "fluent": FluentSet(raw / "fluent/package"),
        "fxemoji": IconifySet(raw / "fxemoji/package"),
    }
    icons: list[Icon] = []
    pictures: list[RGBA] = []
    for concept in tqdm(wanted, desc="icons", unit="concept"):
        for style, source in sets.items():
            picture = source.draw(concept)
            if picture is None:
                continue
            rgba = premultiplied(picture)
            box = bounding_box(rgba)
            if box is None:
                continue
            split = "val" if concept.name in validation else "train"
            icons.append(Icon(len(icons), concept.name, style, concept.label, split, box))
            pictures.append(rgba)
    return icons, pictures


def things(icons: list[Icon]) -> list[int]:
    """Rows of the drawings that models learn by name."""
    return [
        icon.row
        for icon in icons
        if icon.split == "train" and icon.style == STYLE
        and icon.concept in THINGS.get(icon.label, ())
    ]  # fmt: skip


def credits_text(icons: list[Icon], photos: list[Photo]) -> str:
    """Markdown that names every source of the set, to ship with what was trained on it."""
    lines = ["# Credits of the sticker set", "", "## Icons", ""]
    for style, notice in STYLES.items():
        count = sum(icon.style == style for icon in icons)
        lines.append(f"- {notice}: {count} icons")
    lines += ["", "Names and groups: Unicode emoji-test.txt, © Unicode, Inc.", "", "## Photos", ""]
    sources = sorted({(photo.author, photo.licence) for photo in photos})
    for author, licence in sources:
        files = [p.file for p in photos if (p.author, p.licence) == (author, licence)]
        names = ", ".join(Path(file).stem for file in files)
        lines.append(f"- {author}, {licence}: {names}")
    lines += [
        "",
        "Photos by way of Debian's `endless-sky-data`, `endless-sky-high-dpi`, "
        "`lomiri-wallpapers-16.04`, `python3-sklearn` and `ufoai-textures`.",
        "",
    ]
    lines.append(LICENCES)
    return "\n".join(lines)


def prepare(raw: Path, out: Path) -> None:
    """Write the sticker set to `out`; the index comes last, so it marks a complete set."""
    out.mkdir(parents=True, exist_ok=True)
    index = out / "index.json"
    index.unlink(missing_ok=True)
    photos = copy_photos(raw, out / "photos")
    icons, pictures = draw_icons(raw)
    with whole(out / "icons.npy") as file:
        np.save(file, np.stack(pictures))
    write_whole(out / "CREDITS.md", credits_text(icons, photos).encode())
    content = {
        "classes": CLASSES,
        "icons": [asdict(icon) for icon in icons],
        "photos": [asdict(photo) for photo in photos],
        "things": things(icons),
    }
    write_whole(index, json.dumps(content, indent=1, ensure_ascii=False).encode())
