"""Picture files on their way in, told by the name that the user knows."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from app.limits import LARGE, give_back
from engine.errors import ImageError

OPENED = (  # what the choosers list; what a file is says the file
    ".jpg", ".jpeg", ".png", ".webp", ".heic", ".heif", ".avif", ".gif", ".tif", ".tiff", ".bmp",
    ".jp2",
)  # fmt: skip
_alone = threading.Lock()


def opened(path: str | Path) -> Image.Image:
    """The picture in a file; ImageError with the file's name, and not where it lies here."""
    from engine.picture.files import open_image  # imports torch; the page need not wait for it

    try:
        with _in_turn(path):
            return open_image(path)
    except ImageError as error:
        raise ImageError(str(error).replace(str(path), Path(path).name)) from None


@contextmanager
def _in_turn(path: str | Path) -> Iterator[None]:
    """Held while a picture is opened that takes much memory meanwhile."""
    from engine.picture.opening import size_in

    width, height = size_in(path) or (0, 0)
    if width * height <= LARGE:
        yield
        return
    with _alone:
        try:
            yield
        finally:
            give_back()
