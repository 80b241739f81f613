"""The canvas's layer as a page sends it."""

from __future__ import annotations

import base64
import io
import re

from PIL import Image

from app.canvas import PNG_URL
from tests.pictures import png_bytes

Box = tuple[int, int, int, int]


def data_url(layer: Image.Image) -> str:
    return f"{PNG_URL}," + base64.b64encode(png_bytes(layer)).decode()


def layer(*boxes: Box, size: tuple[int, int] = (60, 40), alpha: int = 140) -> str:
    """Boxes (left, top, right, bottom) in the brush's colour, half-transparent like its own."""
    picture = Image.new("RGBA", size, (0, 0, 0, 0))
    for box in boxes:
        picture.paste((255, 45, 120, alpha), box)
    return data_url(picture)


def shape_of(html: str) -> Image.Image:
    """The mask (mode L) that an answer tells the page to put on the canvas."""
    found = re.search(r'data-url="([^"]+)"', html)
    assert found is not None, html
    data = base64.b64decode(found[1].removeprefix(f"{PNG_URL},"))
    return Image.open(io.BytesIO(data)).convert("RGBA").getchannel("A")
