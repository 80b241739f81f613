"""Files on their way in and out, told by the name that the user knows."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from engine.errors import EngineError
from engine.picture.files import open_image
from engine.picture.opening import size_in
from engine.serving.bounds import LARGE, give_back

OPENED = (  # what the choosers list; what a file is says the file
    ".jpg", ".jpeg", ".png", ".webp", ".heic", ".heif", ".avif", ".gif", ".tif", ".tiff", ".bmp",
    ".jp2",
)  # fmt: skip
_alone = threading.Lock()


def opened(path: str | Path) -> Image.Image:
    """The picture in a file; ImageError with the file's name, and not where it lies here."""
    with told_by_name(path), _in_turn(path):
        return open_image(path)


@contextmanager
def told_by_name(path: str | Path) -> Iterator[None]:
    """What goes wrong with a file is told with its name, and not with where it lies here."""
    try:
        yield
    except EngineError as error:
        raise type(error)(str(error).replace(str(path), Path(path).name)) from None


@contextmanager
def _in_turn(path: str | Path) -> Iterator[None]:
    """Held while a picture is opened that takes much memory meanwhile."""
    width, height = size_in(path) or (0, 0)
    if width * height <= LARGE:
        yield
        return
    with _alone:
        try:
            yield
        finally:
            give_back()
