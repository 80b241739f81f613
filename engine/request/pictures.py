"""What a picture that is given may be, and where it says how its file was read."""

from __future__ import annotations

from engine.errors import ImageError

MAX_PIXELS = 40_000_000
MAX_SIDE = 65_535  # pixels; a longer one makes rows without number out of few bytes
NOTES = "varpaint_notes"  # the key in a picture's info: what its file did not have as one expects


def check_size(size: tuple[int, int], name: str = "the picture") -> None:
    """Raise ImageError for an empty picture or one beyond ``MAX_PIXELS`` or ``MAX_SIDE``."""
    width, height = size
    if width < 1 or height < 1:
        raise ImageError(f"{name}: {width}x{height} pixels is empty; use a picture with pixels")
    if width * height > MAX_PIXELS:
        raise ImageError(too_large(name, size))
    if max(size) > MAX_SIDE:
        raise ImageError(
            f"{name}: {width}x{height} pixels is beyond the limit of {MAX_SIDE} for a side; crop it"
        )


def too_large(name: str, size: tuple[int, int] | None) -> str:
    shown = f"{size[0]}x{size[1]} pixels" if size else "its declared size"
    return (
        f"{name}: {shown} is beyond the limit of {MAX_PIXELS / 1e6:.0f} megapixels; "
        "scale it down first"
    )
