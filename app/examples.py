"""The pictures to click on an empty canvas."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from app import files

EXAMPLES = Path(__file__).resolve().parent.parent / "assets" / "examples"
PICTURES = (".jpg", ".jpeg", ".png", ".webp")


def example_pictures() -> list[Path]:
    """The pictures to click on an empty canvas."""
    if not EXAMPLES.is_dir():
        return []
    return sorted(p for p in EXAMPLES.iterdir() if p.suffix.lower() in PICTURES)[:6]


def example_thumbs() -> list[tuple[Image.Image, str]]:
    thumbs = []
    for path in example_pictures():
        thumb = files.opened(path).convert("RGB")
        thumb.thumbnail((224, 168))
        thumbs.append((thumb, path.stem.replace("_", " ")))
    return thumbs
