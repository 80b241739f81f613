"""Picture files on their way in, told by the name that the user knows."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from engine.errors import ImageError


def opened(path: str | Path) -> Image.Image:
    """The picture in a file; ImageError with the file's name, and not where it lies here."""
    from engine.picture.files import open_image  # imports torch; the page need not wait for it

    try:
        return open_image(path)
    except ImageError as error:
        raise ImageError(str(error).replace(str(path), Path(path).name)) from None
