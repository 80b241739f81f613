"""A sheet of real removals: each photo of tests/data/removals, its mask, Telea's fill, and ours.

    python tests/removal_sheet.py SHEET.jpg [--before FOLDER] [--into FOLDER]

Seed 1, nothing picked. ``--into`` keeps the pictures one by one, and ``--before`` shows those that
another version has kept so. A row shows what is around the thing: the photo with the mask's
outline, Telea, before (if any), now. Run it from the checkout whose answers are wanted.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

HERE = Path(__file__).resolve().parent
FOLDER = HERE / "data" / "removals"
TILE = 150  # pixels of a picture on the sheet
COLUMNS = 2  # photos side by side

RGB = NDArray[np.uint8]


def cases() -> list[tuple[str, Image.Image, NDArray[np.bool_]]]:
    """Name, photo, and mask (H, W), True = to be removed."""
    found = []
    for path in sorted(FOLDER.glob("*.jpg")):
        mask = np.asarray(Image.open(path.with_suffix(".mask.png")).convert("L")) > 127
        found.append((path.stem, Image.open(path).convert("RGB"), mask))
    return found


def removed(cases: list[Any], into: Path | None) -> dict[str, RGB]:
    """The editor's own answers."""
    sys.path.insert(0, str(Path.cwd()))
    from engine import EditOptions, load_editor

    editor = load_editor("bundled", device="cpu")
    answers = {}
    for name, photo, mask in cases:
        image = editor.inpaint(photo, mask, options=EditOptions(seed=1)).images[0]
        if into is not None:
            into.mkdir(parents=True, exist_ok=True)
            image.save(into / f"{name}.png")
        answers[name] = np.asarray(image)
        print(name, flush=True)
    return answers


def tile(picture: RGB, mask: NDArray[np.bool_]) -> RGB:
    """A square around the mask, at least as large as what was there."""
    height, width = mask.shape
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    extent = max(rows[-1] - rows[0], columns[-1] - columns[0])
    side = min(max(2 * extent, 160), height, width)
    top = int(np.clip((rows[0] + rows[-1] - side) // 2, 0, height - side))
    left = int(np.clip((columns[0] + columns[-1] - side) // 2, 0, width - side))
    cut = picture[top : top + side, left : left + side]
    shape = cv2.INTER_AREA if side > TILE else cv2.INTER_CUBIC
    shown: RGB = cv2.resize(cut, (TILE, TILE), interpolation=shape).astype(np.uint8)
    return shown


def row(photo: RGB, mask: NDArray[np.bool_], answers: list[RGB]) -> RGB:
    """One photo on the sheet."""
    byte = mask.astype(np.uint8)
    outlined = photo.copy()
    edge = cv2.dilate(byte, np.ones((3, 3), np.uint8)) - byte
    outlined[edge > 0] = (255, 0, 200)
    telea = cv2.inpaint(photo, byte, 3, cv2.INPAINT_TELEA).astype(np.uint8)
    return np.hstack([tile(picture, mask) for picture in (outlined, telea, *answers)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sheet", type=Path)
    parser.add_argument("--before", type=Path)
    parser.add_argument("--into", type=Path)
    options = parser.parse_args()
    photos = cases()
    now = removed(photos, options.into)
    rows = []
    for name, photo, mask in photos:
        before = options.before and [np.asarray(Image.open(options.before / f"{name}.png"))]
        rows.append(row(np.asarray(photo), mask, [*(before or []), now[name]]))
    rows += [np.zeros_like(rows[0])] * (-len(rows) % COLUMNS)
    lines = [np.hstack(rows[at : at + COLUMNS]) for at in range(0, len(rows), COLUMNS)]
    Image.fromarray(np.vstack(lines)).save(options.sheet, quality=68)


if __name__ == "__main__":
    main()
