"""Opening a picture file: upright, whole, with what it says; and notes on what is not as expected.

The notes lie in the picture's info under `NOTES`; an edit of the picture tells them.
"""

from __future__ import annotations

import io
import struct
import sys
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from engine.errors import ImageError
from engine.picture import colour, depth
from engine.picture.metadata import CHUNKS, gathered
from engine.picture.source import upright
from engine.request.pictures import NOTES, check_size, too_large

FORMATS = (
    "PNG", "JPEG", "MPO", "WEBP", "TIFF", "GIF", "BMP", "DIB", "PPM", "JPEG2000", "AVIF", "ICO",
    "TGA",
)  # fmt: skip
LARGEST_FILE = 1 << 30  # bytes
CODING = "varpaint_coding"  # the key in a picture's info: how its file was compressed
HEIF = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")
TAIL = 64  # bytes that are taken off a cut JPEG to see which rows its end is about


def open_image(source: str | Path | bytes | BinaryIO) -> Image.Image:
    """A picture from a file, bytes or stream: loaded, upright, its mode, alpha and ICC kept.

    ``-`` is standard input. 16 bits a channel are kept (`engine.picture.depth`). What was not as
    expected is in ``info["varpaint_notes"]``, a tuple of texts. Raises ImageError.
    """
    name = str(source) if isinstance(source, str | Path) else "the upload"
    try:
        if name == "-":
            name, data = "standard input", sys.stdin.buffer.read()
        elif isinstance(source, str | Path):
            if Path(source).stat().st_size > LARGEST_FILE:
                raise ImageError(f"{name}: is larger than 1 GB; scale the picture down first")
            data = Path(source).read_bytes()
        else:
            data = source if isinstance(source, bytes) else source.read()
        with warnings.catch_warnings():  # what they say is noted, or told by an error
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return _opened(data, name)
    except FileNotFoundError:
        raise ImageError(f"{name}: no such file; check the path") from None
    except IsADirectoryError:
        raise ImageError(f"{name}: is a folder; name a picture file") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageError(too_large(name, None)) from None
    except ImageError:
        raise
    except Exception as error:  # decoders raise anything from SyntaxError to struct.error
        reason = " ".join((str(error).strip() or type(error).__name__).split())
        if isinstance(error, UnidentifiedImageError):
            reason = "not a picture in a known format"
        raise ImageError(f"{name}: cannot be read ({reason}); use a PNG, JPEG or WebP") from None


def size_in(source: str | Path | bytes) -> tuple[int, int] | None:
    """(width, height) that a file's head says, no pixel read; None if it is no picture that can
    be opened."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            file = io.BytesIO(source) if isinstance(source, bytes) else source
            with Image.open(file, formats=_formats()) as image:
                return image.size
    except Exception:  # as in `open_image`, which will tell
        return None


def _formats() -> list[str]:
    """Those that are meant: Pillow would hand PostScript to another program."""
    Image.init()  # Pillow knows most formats only then
    return [each for each in (*FORMATS, "HEIF") if each in Image.OPEN]


def _opened(data: bytes, name: str) -> Image.Image:
    heif = data[4:8] == b"ftyp" and data[8:12] in HEIF
    if heif:
        _register_heif(name)
    notes: list[str] = []
    with Image.open(io.BytesIO(data), formats=_formats()) as image:
        check_size(image.size, name)
        notes += _frames(image)
        bits = depth.bits_of(image, data)
        loaded: Image.Image = image
        try:
            image.load()
        except OSError:
            if image.format not in ("JPEG", "MPO"):
                raise
            loaded = _mended(data)
            notes.append("the file ends too early; what is missing is at most its last rows")
        deep = None  # read after Pillow found no damage: OpenCV would print what it finds
        if bits > 8 and image.format in ("AVIF", "HEIF"):
            notes.append(f"its {bits} bits a channel were read as 8")
        elif bits > 8:
            deep = depth.whole(image, data, bits, name)
        info, orientation, damaged = gathered(loaded, data)
        coding = _coding(loaded, data)
        plain = loaded.copy()
        if deep is not None:
            mode, pixels = deep
            if mode != plain.mode:
                info.pop("transparency", None)
            plain = pixels.turned(orientation).picture(mode, info)
        else:
            plain.info = {"exif": _orientation(orientation)}
            plain = upright(plain)
            plain.info = info
    if plain.mode == "P" and not plain.getpalette():
        raise ImageError(f"{name}: its palette is empty; save it anew, as RGB")
    notes += damaged + _colours(plain, data if coding.get("format") == "PNG" else b"")
    if coding.get("format") == "AVIF":
        notes += _signalled(plain, data)
    plain.info[CODING] = coding
    if notes:
        plain.info[NOTES] = tuple(f"the picture: {note}" for note in notes)
    return plain


def _orientation(value: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif.tobytes()


def _register_heif(name: str) -> None:
    try:
        import_module("pillow_heif").register_heif_opener()
    except ImportError:
        raise ImageError(
            f"{name}: HEIC needs the library pillow-heif (pip install pillow-heif); install it, or "
            "save the picture as a JPEG"
        ) from None


def _frames(image: Image.Image) -> list[str]:
    """A note if a file holds more than one picture."""
    try:
        count = getattr(image, "n_frames", 1)
        image.seek(0)
    except Exception:  # a later frame is damaged: the first may be whole
        return []
    if count < 2:
        return []
    if image.format == "MPO":
        return [
            f"the first of {count} frames is edited; the others, such as a gain map or a preview, "
            "are left out"
        ]
    return [f"the first of {count} frames is edited; the others are left out"]


def _mended(data: bytes) -> Image.Image:
    """A JPEG that ends too early, if all but its last rows are there; OSError if they are not."""
    whole = _ended(data)
    less = np.asarray(_ended(data[:-TAIL]))
    differs = np.flatnonzero((np.asarray(whole) != less).reshape(whole.height, -1).any(axis=1))
    first = int(differs[0]) if len(differs) else 0
    if first < whole.height * 0.95 - 32 or not _all_scans(data):
        raise OSError("the file is cut off")
    return whole


def _ended(data: bytes) -> Image.Image:
    """A JPEG with an end, decoded as far as it goes."""
    image = Image.open(io.BytesIO(data + b"\xff\xd9"), formats=("JPEG",))
    image.load()
    return image


def _all_scans(data: bytes) -> bool:
    """Whether the last of a progressive JPEG's scans had begun for every component."""
    at = data.find(b"\xff\xc2")
    if at < 0:
        return True
    wanted = {data[at + 10 + 3 * index] for index in range(data[at + 9])}
    done: set[int] = set()
    at = data.find(b"\xff\xda", at)
    while at >= 0 and at + 10 < len(data):
        count = data[at + 4]
        end = at + 5 + 2 * count
        if end + 2 < len(data) and data[end + 1] == 63 and data[end + 2] & 15 == 0:
            done |= {data[at + 5 + 2 * index] for index in range(count)}
        at = data.find(b"\xff\xda", at + 2)
    return wanted <= done


def _coding(image: Image.Image, data: bytes) -> dict[str, Any]:
    """How a file was compressed, to save it at least as well."""
    form = image.format or ""
    found: dict[str, Any] = {"format": "JPEG" if form == "MPO" else form}
    if found["format"] == "JPEG":
        from PIL import JpegImagePlugin

        found["qtables"] = getattr(image, "quantization", None)
        found["subsampling"] = JpegImagePlugin.get_sampling(image)
    if form == "WEBP":
        found["lossless"] = b"VP8L" in data[12:4096] and b"VP8 " not in data[12:4096]
    return found


def _colours(image: Image.Image, png: bytes) -> list[str]:
    """See to it that a picture's profile, if any, is one for its mode; a PNG's numbers make one."""
    notes: list[str] = []
    info = image.info
    icc = info.get("icc_profile")
    if not isinstance(icc, bytes) or not icc:
        info.pop("icc_profile", None)
    elif not colour.readable(icc):
        info.pop("icc_profile")
        notes.append("its colour profile is damaged and was dropped")
    elif not colour.fits(icc, image.mode):
        info.pop("icc_profile")
        notes.append(f"its colour profile is not one for {image.mode} pictures and was dropped")
    found = {k: v for k, v in depth.chunks(png) if k in (b"gAMA", b"cHRM", b"cICP", b"sRGB")}
    if found:
        info[CHUNKS] = list(found.items())
    cicp = found.get(b"cICP", b"")
    if len(cicp) == 4:
        return notes + _from_codes(image, cicp[0], cicp[1])
    if "icc_profile" in info or b"sRGB" in found or not found:
        return notes
    if image.mode not in ("RGB", "RGBA", "P"):
        return notes
    xy: tuple[tuple[float, float], ...] = colour.SRGB_XY
    gamma = None
    if len(found.get(b"cHRM", b"")) == 32:
        numbers = [n / 100_000 for n in struct.unpack(">8I", found[b"cHRM"])]
        given = tuple(zip(numbers[::2], numbers[1::2], strict=True))
        if all(y > 0 for _, y in given) and np.abs(np.subtract(given, xy)).max() > 0.002:
            xy = given
    if len(found.get(b"gAMA", b"")) == 4:
        (said,) = struct.unpack(">I", found[b"gAMA"])
        if said and abs(said - 45_455) > 1000:
            gamma = 100_000 / said
    if xy is not colour.SRGB_XY and gamma is None and b"gAMA" in found:
        gamma = 2.2
    return notes + _honoured(image, xy, gamma)


def _signalled(image: Image.Image, data: bytes) -> list[str]:
    """The colours that an AVIF says by numbers (ITU-T H.273) where it has no profile."""
    at = data.find(b"colrnclx")
    if at < 0 or "icc_profile" in image.info or len(data) < at + 12:
        return []
    return _from_codes(image, *struct.unpack(">HH", data[at + 8 : at + 12]))


def _from_codes(image: Image.Image, primaries: int, transfer: int) -> list[str]:
    if transfer in (16, 18):
        return ["its colours are HDR (PQ or HLG): it is edited as its numbers are"]
    if primaries not in colour.PRIMARIES or image.mode not in ("RGB", "RGBA", "P"):
        return []
    if transfer not in colour.GAMMAS and transfer not in colour.LIKE_SRGB:
        return []
    return _honoured(image, colour.PRIMARIES[primaries], colour.GAMMAS.get(transfer))


def _honoured(
    image: Image.Image, xy: tuple[tuple[float, float], ...], gamma: float | None
) -> list[str]:
    """Give a picture the profile of its file's numbers, unless they say sRGB."""
    if xy == colour.SRGB_XY and gamma is None:
        return []
    try:
        icc = colour.made_profile(xy, gamma)
    except (np.linalg.LinAlgError, OverflowError, struct.error):
        return []
    if not colour.readable(icc) or colour.space_of(icc, "RGB") is None:
        return []
    image.info["icc_profile"] = icc
    return []
