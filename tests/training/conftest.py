"""A picture folder and a sticker set small enough to make in a moment, and networks to match."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.model.spec import VQVAESpec
from engine.training.photos import Photo
from engine.training.prepare import Icon

TINY = VQVAESpec(
    scales=(1, 2, 4),
    codebook_size=48,
    latent_channels=8,
    width=16,
    multipliers=(1, 2),
    blocks_per_level=1,
    stem=4,
    linear_skip=True,
)  # 32 px


@pytest.fixture(scope="session")
def picture_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of plain colours with a bright bar, six pictures each."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(3)
    colours = {"red": (200, 40, 30), "green": (40, 160, 60), "blue": (30, 60, 200)}
    for name, colour in colours.items():
        (folder / name).mkdir()
        for number in range(6):
            pixels = np.full((40, 56, 3), colour, dtype=np.uint8)
            pixels[:, 10 * (number % 5) : 10 * (number % 5) + 6] = rng.integers(180, 255, 3)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture(scope="session")
def sticker_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of discs whose colour tells concept and style, and two landscapes a split."""
    folder = tmp_path_factory.mktemp("stickers")
    (folder / "photos").mkdir()
    rows, columns = np.mgrid[:256, :256]
    disc = ((rows - 128) ** 2 + (columns - 128) ** 2 < 100**2).astype(np.uint8)
    icons, bitmaps = [], []
    for concept in range(8):
        for style in range(2):
            colour = (30 * concept + 20, 120 * style + 40, 90)
            bitmaps.append(np.dstack([disc * value for value in (*colour, 255)]))
            label = "disc" if concept % 2 else "ball"
            split = "val" if concept >= 6 else "train"
            box = (28, 28, 229, 229)
            icons.append(Icon(len(icons), f"concept {concept}", f"s{style}", label, split, box))
    photos = []
    for number, split in enumerate(("train", "train", "val", "val")):
        pixels = np.full((72, 120, 3), 60 * number + 20, dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "photos" / f"{number}.png")
        label = "hills" if number % 2 else None
        photos.append(Photo(f"{number}.png", label, split, "somebody", "public domain"))
    np.save(folder / "icons.npy", np.stack(bitmaps).astype(np.uint8))
    index = {
        "classes": ["ball", "disc", "hills"],
        "icons": [asdict(icon) for icon in icons],
        "photos": [asdict(photo) for photo in photos],
        "things": [icon.row for icon in icons if icon.split == "train" and icon.style == "s0"],
    }
    (folder / "index.json").write_text(json.dumps(index))
    return folder
