"""Ten thousand random edits, and not a pixel outside the mask that differs.

    python [-O] tests/untouched_cases.py [--count 10000] [--seed 1] [--seconds S]

Modes and depths, sizes, masks, margins, tasks, options and doors (Python, the backend of the window
and of HTTP, a file on disk) with tiny models. A case is made from the seed and its number alone.
Nothing here is an ``assert``: `python -O` must find as much.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
import traceback
from contextlib import closing
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
from PIL import Image

from app.backend import Local
from engine.editor import Editor
from engine.events import Result, result_of
from engine.picture.depth import DEEP, Deep
from engine.picture.files import open_image, write_picture
from engine.request import EditRequest, Region
from tests.pictures import MODES, picture
from tests.tiny import tiny_editor

DEEP_MODES = ("RGB", "RGBA", "LA")
CHANNELS = {"RGB": 3, "RGBA": 4, "LA": 2}
OPTIONS: dict[str, tuple[Any, ...]] = {
    "feather": (None, 0, 1, 5, 200), "context": ("auto", "whole", 0, 3, 500),
    "rule": ("default", "default", "paper"), "blend": (None, "none", "membrane"),
    "detail": (None, "picture", "model"), "grow": (None, 0, 3, 64), "soft_scales": (None, 0, 1, 16),
    "fill": (None, "none", "push_pull", "sideways", "telea"), "structure": (None, 0, 2),
    "speed": ("exact", "exact", "fast"), "candidates": (None, None, 3),
    "around": ("auto", "keep", "new"), "backdrop": (None, True),
}  # fmt: skip


class Doors:
    """The ways to an edit, with one model each that foresees and one that does not."""

    def __init__(self) -> None:
        torch.set_num_threads(1)
        self.editors = (tiny_editor(), tiny_editor(foresight=True))
        self.backends = []
        for editor in self.editors:
            backend = Local()
            backend.add(editor, first=True)
            self.backends.append(backend)

    def run(self, door: str, which: int, request: EditRequest) -> Result:
        if door == "backend":
            with closing(self.backends[which].steps(lambda: request)) as events:
                return result_of(list(events))
        editor: Editor = self.editors[which]
        return editor.run(request)


def source_of(rng: random.Random, width: int, height: int) -> Image.Image:
    if rng.random() < 0.8:
        return picture(rng.choice(MODES), width, height, seed=rng.randrange(7))
    mode = rng.choice(DEEP_MODES)
    top = rng.choice((4096, 65536))
    values = np.random.default_rng(rng.randrange(9)).integers(
        0, top, (height, width, CHANNELS[mode]), np.uint16
    )
    return Deep.of(values).picture(mode, {})


def mask_of(rng: random.Random, width: int, height: int) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    for _ in range(rng.choice((1, 1, 2, 3, 20))):
        x, y = rng.randrange(width), rng.randrange(height)
        w, h = rng.choice((1, 2, 7, width)), rng.choice((1, 3, 9, height))
        mask[y : y + h, x : x + w] = True
    return mask


def pixels(image: Image.Image) -> np.ndarray:
    """Every bit of a picture, (H, W, channels), the whole ones of 16 bits too."""
    raw = np.asarray(image).reshape(image.height, image.width, -1)
    if raw.dtype.kind == "f":
        raw = raw.view(np.uint32)
    whole = image.info.get(DEEP)
    return np.concatenate([raw, whole.values], axis=2) if isinstance(whole, Deep) else raw


def fault_of(doors: Doors, seed: int, number: int, folder: Path) -> str | None:
    """What is wrong with a case; None if nothing is."""
    rng = random.Random(f"{seed}/{number}")
    task = rng.choice(("inpaint", "inpaint", "outpaint", "edit_class"))
    width, height = (rng.randint(1, rng.choice((12, 40, 90))) for _ in range(2))
    source = source_of(rng, width, height)
    options = {name: rng.choice(values) for name, values in OPTIONS.items() if rng.random() < 0.4}
    options |= {"seed": rng.randrange(2**53), "variations": rng.choice((1, 1, 2, 3))}
    door = rng.choice(("python", "python", "backend", "file"))
    mask, margins, regions, label = None, (0, 0, 0, 0), (), None
    if task == "outpaint":
        margins = tuple(rng.choice((0, 0, 1, 9, 30)) for _ in range(4))
        margins = margins if any(margins) else (3, 0, 0, 0)
    elif task == "edit_class" and rng.random() < 0.3:
        parts = [mask_of(rng, width, height) for _ in range(2)]
        mask = np.logical_or(*parts)
        regions = tuple(Region(mask=part, label="bird") for part in parts)
    else:
        mask = mask_of(rng, width, height)
    if task == "edit_class" and not regions:
        label = rng.choice(("bird", "boat"))
    left, right, top, bottom = margins
    before = pixels(source).copy()
    known = np.zeros((height + top + bottom, width + left + right), bool)
    known[top : top + height, left : left + width] = True if mask is None else ~mask
    from engine.errors import MaskError, RequestError

    try:
        request = EditRequest(
            task=task, image=source, mask=None if regions else mask, label=label, regions=regions,
            left=left, right=right, top=top, bottom=bottom, options=options,
        )  # fmt: skip
        result = doors.run(door, rng.randrange(2), request)
    except (RequestError, MaskError) as error:  # such as a region that lies wholly under another
        allowed = ("lies wholly under", "too few for", "needs a backdrop")
        return None if any(each in str(error) for each in allowed) else str(error)
    if not np.array_equal(pixels(source), before):
        return "the caller's picture was written to"
    inside = (slice(top, top + height), slice(left, left + width))
    for image in result.images:
        if image.mode != source.mode or image.size != known.shape[::-1]:
            return f"{source.mode} {source.size} became {image.mode} {image.size}"
        if door == "file" and source.mode in ("L", "LA", "RGB", "RGBA", "1", "I;16"):
            write_picture(folder / "x.png", image)
            image = open_image(folder / "x.png")
        after = pixels(image)
        if after.shape[2] != before.shape[2]:
            return f"{before.shape[2]} channels became {after.shape[2]}"
        if not np.array_equal(after[inside][known[inside]], before[known[inside]]):
            return f"pixels outside the mask differ ({source.mode}, {task}, {door}, {options})"
        for key in ("icc_profile", "transparency"):
            if door != "file" and image.info.get(key) != source.info.get(key):
                return f"{key} differs ({source.mode}, {task}, {options})"
    return None


def run(count: int, seed: int, seconds: float = float("inf")) -> tuple[int, list[str]]:
    """How many cases were tried, ``count`` or as many as the time allows, and their faults."""
    doors, faults, number = Doors(), [], -1
    until = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            if time.monotonic() > until:
                return number, faults
            try:
                fault = fault_of(doors, seed, number, Path(folder))
            except Exception:
                fault = traceback.format_exc()
            if fault is not None:
                faults.append(f"case {number}: {fault}")
    return number + 1, faults


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    flags = parser.parse_args()
    began = time.monotonic()
    done, faults = run(flags.count, flags.seed, flags.seconds)
    for fault in faults:
        print(fault)
    print(f"{done} edits, {len(faults)} faults, {time.monotonic() - began:.0f} s")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
