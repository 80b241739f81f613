"""Contact sheets of held-out pictures: whatever the seeds give, nothing is picked.

families-*.jpg   original, mask, default, rule paper, Telea: eight pictures a mask family
inpaint.jpg outpaint.jpg class-edit.jpg generate.jpg   seeds 0 to 7
extend-2-1.jpg extend-1-2.jpg   extensions to twice the side
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from engine.arrays import RGB
from engine.editor import Editor
from engine.evaluation.edits import Case
from engine.evaluation.families import FAMILIES, Mask, make_mask
from engine.evaluation.scenes import Scenes
from engine.frames.fill import fill_hole
from engine.picture.saving import write_whole
from engine.request.options import EditOptions
from engine.training.data import StickerSet, open_pictures
from engine.training.pieces import Pictures, keyed_generator

PICTURES = 8
SEEDS = tuple(range(8))
TASK_ROWS, EXTENDED = 6, 4
SHOWN = 144  # side of a picture on a sheet
GAP, HEAD, LEFT = 3, 18, 92
BYTES = 290_000  # of a sheet
MASK_COLOUR = (255, 0, 128)
# What a sheet asks for: of each pair the first that the model knows; its own first names if none.
ASKED = (
    ("bird",), ("boat",), ("flower",), ("fruit",), ("land vehicle",), ("building",),
)  # fmt: skip
GENERATED = (
    ("face",), ("mammal",), ("bug",), ("owl", "bird"), ("rose", "flower"), ("mountain",),
    ("sea & beach",), ("forest",),
)  # fmt: skip


def make_sheets(
    editor: Editor, data: Path, folder: Path, *, seed: int, options: EditOptions
) -> Iterator[Path]:
    """Write every sheet into ``folder`` and yield its path."""
    pictures = open_pictures(data, side=editor.side, split="val", seed=seed)
    for family in FAMILIES:
        yield save(folder / f"families-{family}.jpg", _family(editor, pictures, family, options))
    scenes = _scenes(data, pictures, seed)
    sheets = {
        "inpaint": _inpaint(editor, pictures, scenes, options),
        "outpaint": _outpaint(editor, pictures, scenes, options),
        "class-edit": _class_edit(editor, pictures, scenes, options),
        "generate": _generate(editor, options),
        "extend-2-1": _extend(editor, pictures, scenes, options, wide=True),
        "extend-1-2": _extend(editor, pictures, scenes, options, wide=False),
    }
    for name, sheet in sheets.items():
        yield save(folder / f"{name}.jpg", sheet)


def sheet(
    rows: Sequence[Sequence[RGB]], across: Sequence[str], down: Sequence[str], side: int = SHOWN
) -> Image.Image:
    """Rows of pictures under headings, each row with its name; pictures fit into ``side``."""
    fitted = [[_fit(picture, side) for picture in row] for row in rows]
    width = max(p.shape[1] for row in fitted for p in row)
    height = max(p.shape[0] for row in fitted for p in row)
    canvas = Image.new(
        "RGB",
        (LEFT + len(across) * (width + GAP), HEAD + len(rows) * (height + GAP)),
        "white",
    )
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(12)
    for column, text in enumerate(across):
        draw.text((LEFT + column * (width + GAP) + 2, 2), text, "black", font)
    for number, (name, row) in enumerate(zip(down, fitted, strict=True)):
        top = HEAD + number * (height + GAP)
        draw.multiline_text((4, top + 4), _wrapped(name), "black", font)
        for column, picture in enumerate(row):
            canvas.paste(Image.fromarray(picture), (LEFT + column * (width + GAP), top))
    return canvas


def masked(picture: RGB, mask: Mask) -> RGB:
    """The picture with its mask tinted."""
    tinted = picture * 0.5 + np.array(MASK_COLOUR) * 0.5
    return np.where(mask[..., None], tinted, picture).astype(np.uint8)


def _family(editor: Editor, pictures: Pictures, family: str, options: EditOptions) -> Image.Image:
    rows = []
    for index in range(PICTURES):
        picture, _ = pictures[index]
        number = FAMILIES.index(family)
        mask = make_mask(family, editor.side, keyed_generator(0, 7, index, number))
        case = Case(editor, picture, mask, None, "inpaint")
        mine = options.model_copy(update={"seed": index})
        paper = EditOptions(seed=index, rule="paper")
        telea = fill_hole(picture.astype(np.float32), mask, "telea").astype(np.uint8)
        rows.append([picture, masked(picture, mask), case.edit(mine).result,
                     case.edit(paper).result, telea])  # fmt: skip
    heads = ("original", f"mask: {family}", "default", "rule paper", "Telea")
    down = [f"held-out {i}\nseed {i}" for i in range(PICTURES)]
    return sheet(rows, heads, down)


def _scenes(data: Path, pictures: Pictures, seed: int) -> Scenes | None:
    if not isinstance(pictures, StickerSet):
        return None
    trained = StickerSet(data, side=pictures.side, split="train", seed=seed)
    return Scenes(pictures, trained, seed=seed)


def _seeds() -> list[str]:
    return [f"seed {seed}" for seed in SEEDS]


def _inpaint(
    editor: Editor, pictures: Pictures, scenes: Scenes | None, options: EditOptions
) -> Image.Image:
    """Objects removed from held-out scenery, or the middle of pictures of another data set."""
    rows, names = [], []
    for index in range(TASK_ROWS):
        if scenes is not None:
            scene = scenes.removal(index)
            picture, mask = scene.picture, scene.mask
            names.append(f"remove\n{scene.label}")
        else:
            picture, _ = pictures[index]
            mask = make_mask("box", editor.side, keyed_generator(0, index))
            names.append(f"held-out {index}")
        case = Case(editor, picture, mask, None, "inpaint")
        first = options.model_copy(update={"seed": SEEDS[0]})
        rows.append([masked(picture, mask), *case.several(first, len(SEEDS))])
    return sheet(rows, ["mask", *_seeds()], names, 120)


def _views(pictures: Pictures, scenes: Scenes | None, count: int) -> list[RGB]:
    """Held-out pictures to extend: bare scenery and scenery with an object, by turns."""
    if scenes is None:
        return [pictures[index][0] for index in range(count)]
    return [
        scenes.removal(index).picture if index % 2 else scenes.class_edit(index).picture
        for index in range(count)
    ]


def _before(picture: RGB, across: int, down: int) -> RGB:
    """The picture in the middle of the canvas that it is extended to."""
    wide = ((down, down), (across, across), (0, 0))
    return np.pad(picture, wide, constant_values=200)


def _outpaint(
    editor: Editor, pictures: Pictures, scenes: Scenes | None, options: EditOptions
) -> Image.Image:
    rows = []
    several = options.model_copy(update={"seed": SEEDS[0], "variations": len(SEEDS)})
    for picture in _views(pictures, scenes, TASK_ROWS - 1):
        image = Image.fromarray(picture)
        result = editor.outpaint(image, left="25%", right="25%", options=several)
        before = _before(picture, editor.side // 4, 0)
        rows.append([before, *(np.asarray(image) for image in result.images)])
    names = [f"held-out {i}\n+25 % left\nand right" for i in range(len(rows))]
    return sheet(rows, ["before", *_seeds()], names, 140)


def _known(editor: Editor, wanted: Sequence[tuple[str, ...]]) -> list[str]:
    """The first name of each group that the model has; its own first names if it has none."""
    labels = {name.casefold() for name in editor.card.labels.names}
    groups = [[name for name in group if name in labels] for group in wanted]
    return [group[0] for group in groups if group] or list(editor.labels[: len(wanted)])


def _class_edit(
    editor: Editor, pictures: Pictures, scenes: Scenes | None, options: EditOptions
) -> Image.Image:
    rows, names = [], []
    for index, label in enumerate(_known(editor, ASKED)):
        if scenes is not None:
            scene = scenes.class_edit(2 * index)
            picture, mask = scene.picture, scene.mask
        else:
            picture, _ = pictures[index]
            mask = make_mask("box", editor.side, keyed_generator(0, index))
        case = Case(editor, picture, mask, label, "edit_class", None)
        first = options.model_copy(update={"seed": SEEDS[0]})
        rows.append([masked(picture, mask), *case.several(first, len(SEEDS))])
        names.append(f"to\n{label}")
    return sheet(rows, ["mask", *_seeds()], names, 120)


def _generate(editor: Editor, options: EditOptions) -> Image.Image:
    labels = _known(editor, GENERATED)
    several = options.model_copy(update={"seed": SEEDS[0], "variations": len(SEEDS)})
    rows = [
        [np.asarray(image) for image in editor.generate(label, options=several).images]
        for label in labels
    ]
    return sheet(rows, _seeds(), labels, 120)


def _extend(
    editor: Editor,
    pictures: Pictures,
    scenes: Scenes | None,
    options: EditOptions,
    *,
    wide: bool,
) -> Image.Image:
    """Held-out pictures extended to twice their width, or height, by half on either side."""
    rows = []
    half = {"left": "50%", "right": "50%"} if wide else {"top": "50%", "bottom": "50%"}
    room = editor.side // 2
    for picture in _views(pictures, scenes, EXTENDED):
        image = Image.fromarray(picture)
        found = [_before(picture, room if wide else 0, 0 if wide else room)]
        for seed in SEEDS[:3]:
            one = options.model_copy(update={"seed": seed})
            found.append(np.asarray(editor.outpaint(image, options=one, **half).images[0]))
        rows.append(found)
    names = [f"held-out {i}\n{'2:1' if wide else '1:2'}" for i in range(len(rows))]
    return sheet(rows, ["before", *_seeds()[:3]], names, 320)


def _fit(picture: RGB, side: int) -> RGB:
    """Scaled so that the longer side is ``side``."""
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, size, interpolation=how), np.uint8)


def _wrapped(name: str) -> str:
    return "\n".join(textwrap.fill(line, 13) for line in name.split("\n"))


def save(path: Path, picture: Image.Image) -> Path:
    """As a JPEG of at most ``BYTES``."""
    for quality in (88, 80, 70, 60, 50):
        made = io.BytesIO()
        picture.save(made, "JPEG", quality=quality, optimize=True)
        if made.tell() <= BYTES:
            break
    write_whole(path, made.getvalue())
    return path
