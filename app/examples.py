"""The pictures to click on an empty canvas."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from app import files

EXAMPLES = Path(__file__).resolve().parent.parent / "assets" / "examples"
FOCUS = {"airplane": (0.75, 0.32), "hedgehog": (0.385, 0.73), "penguin": (0.375, 0.76)}
SEEN = 0.78  # of a picture's height that its thumbnail shows, around what is in it
SHAPE = 4 / 3
PICTURES = (".jpg", ".jpeg", ".png", ".webp")


def example_pictures() -> list[Path]:
    """The pictures to click on an empty canvas."""
    if not EXAMPLES.is_dir():
        return []
    return sorted(p for p in EXAMPLES.iterdir() if p.suffix.lower() in PICTURES)[:6]


def example_thumbs() -> list[tuple[Image.Image, str]]:
    """Small pictures of them, of one shape, with what is in each in the middle; and their names."""
    thumbs = []
    for path in example_pictures():
        picture = files.opened(path).convert("RGB")
        high = min(SEEN * picture.height, picture.width / SHAPE)
        wide = SHAPE * high
        x, y = FOCUS.get(path.stem, (0.5, 0.5))
        left = min(max(x * picture.width - wide / 2, 0), picture.width - wide)
        top = min(max(y * picture.height - high / 2, 0), picture.height - high)
        box = (left, top, left + wide, top + high)
        thumbs.append((picture.resize((336, 252), box=box), path.stem.replace("_", " ")))
    return thumbs
