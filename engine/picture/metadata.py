"""What a picture file says beside its pixels, and what of it another file can hold.

Kept: resolution, EXIF, XMP, IPTC and what else Photoshop writes, comments, a PNG's text, artist and
copyright. Not kept, since it would show the old picture: thumbnails and gain maps. Sizes that are
said are made those of the picture that is saved.
"""

from __future__ import annotations

import re
import struct
from typing import Any

from PIL import ExifTags, Image, PngImagePlugin

REQUEST_KEY = "varpaint"  # the PNG text chunk that carries the request
TEXT = "varpaint_text"  # the key in a picture's info: other text chunks of a PNG
CHUNKS = "varpaint_chunks"  # how a PNG says its colours, but for a profile: [(name, bytes), ...]
PLAIN = ("icc_profile", "dpi", "transparency", "comment", "gamma", "chromaticity", "duration")
IFDS = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
LAYOUT = {  # TIFF tags that say how the file's pixels lie, or that travel by themselves
    *range(254, 260), 262, 263, 264, 265, 266, *range(273, 282), 284, 288, 289, 290, 291, 292, 293,
    301, 317, 318, 319, 320, 321, *range(322, 326), 330, 332, 334, 336, 338, 339, 340, 341, 347,
    *range(512, 522), *range(529, 533), 700, 33723, 34377, 34675, 0x0112,
}  # fmt: skip
RESOLUTION = (282, 283, 296)
IPTC, THUMBNAILS = 0x0404, (0x0409, 0x040C, 0x03ED)  # Photoshop's resources; 03ED is resolution
MARKER = 65_533  # bytes that a JPEG's marker holds
GONE = (  # of XMP: thumbnails, and what speaks of a gain map
    rb"<(xmp:Thumbnails|xap:Thumbnails|Container:Directory|GContainer:Directory)\b.*?</\1>",
    rb"<(hdrgm:\w+)\b[^>]*?(?:/>|>.*?</\1>)",
    rb"\s(?:hdrgm|GCamera):\w+\s*=\s*(?:\"[^\"]*\"|'[^']*')",
    rb"\stiff:Orientation\s*=\s*(?:\"\d\"|'\d')",
    rb"<tiff:Orientation>\d</tiff:Orientation>",
)


def gathered(image: Image.Image, data: bytes) -> tuple[dict[Any, Any], int, list[str]]:
    """What an opened file says, in one form whatever its format: a new picture's info. With it the
    EXIF orientation, 1 to 8, and notes on what was damaged."""
    notes: list[str] = []
    text = dict(getattr(image, "text", None) or {}) if image.format == "PNG" else {}
    info = {k: image.info[k] for k in PLAIN if k in image.info and k not in text}
    tags = getattr(image, "tag_v2", {})
    exif, orientation = b"", 1
    try:
        exif, orientation = clean_exif(image)
    except Exception:  # the reader raises anything from SyntaxError to struct.error
        notes.append("its EXIF is damaged and was dropped")
    if exif:
        info["exif"] = exif
    xmp = image.info.get("xmp", text.get("XML:com.adobe.xmp"))
    xmp = xmp.encode() if isinstance(xmp, str) else xmp
    if isinstance(xmp, bytes) and xmp.strip(b"\0 "):
        info["xmp"] = clean_xmp(xmp)
    resources = image.info.get("photoshop")
    if isinstance(tags.get(34377), bytes):
        resources = read_resources(tags[34377])
    raw = text.get("Raw profile type iptc")
    if raw:
        resources = read_resources(_from_raw_profile(raw))
    if not isinstance(resources, dict):
        resources = {}
    if isinstance(tags.get(33723), bytes):
        resources = {IPTC: tags[33723], **resources}
    resources = {
        k: v for k, v in resources.items() if isinstance(v, bytes) and k not in THUMBNAILS
    }
    if resources:
        info["photoshop"] = resources
    if isinstance(text.get(REQUEST_KEY), str):
        info[REQUEST_KEY] = str(text[REQUEST_KEY])
    others = {
        k: v for k, v in text.items()
        if k not in (REQUEST_KEY, "XML:com.adobe.xmp") and not k.startswith("Raw profile type ")
    }  # fmt: skip
    if others:
        info[TEXT] = others
    return info, orientation, notes


def clean_exif(image: Image.Image) -> tuple[bytes, int]:
    """A file's EXIF without thumbnails and what concerns its layout; and its orientation."""
    given, kept = image.getexif(), Image.Exif()
    for tag, value in given.items():
        if tag not in LAYOUT and tag not in (*IFDS, ExifTags.IFD.Interop):
            kept[tag] = value
    for ifd in IFDS:
        part = given.get_ifd(ifd)
        if part:
            kept.get_ifd(ifd).update(part)
    orientation = given.get(0x0112, 1)
    said = dict(kept) or any(given.get_ifd(ifd) for ifd in IFDS)
    if not said and image.info.get("exif") and not len(given):
        raise ValueError("nothing in it can be read")
    good = isinstance(orientation, int) and 1 <= orientation <= 8
    return kept.tobytes() if said else b"", orientation if good else 1


def clean_xmp(xmp: bytes) -> bytes:
    """XMP without thumbnails and gain maps."""
    for pattern in GONE:
        xmp = re.sub(pattern, b"", xmp, flags=re.DOTALL)
    return xmp


def read_resources(data: bytes) -> dict[int, bytes]:
    """Photoshop's image resources, by number."""
    found, at = {}, 0
    while data[at : at + 4] == b"8BIM" and at + 12 <= len(data):
        (code,) = struct.unpack(">H", data[at + 4 : at + 6])
        at += 6 + (data[at + 6] + 2) // 2 * 2
        if at + 4 > len(data):
            break
        (size,) = struct.unpack(">I", data[at : at + 4])
        found[code] = data[at + 4 : at + 4 + size]
        at += 4 + (size + 1) // 2 * 2
    return found


def written_resources(resources: dict[int, bytes]) -> bytes:
    """The other way round."""
    parts = []
    for code, body in resources.items():
        head = struct.pack(">4sHHI", b"8BIM", code, 0, len(body))
        parts.append(head + body + b"\0" * (len(body) % 2))
    return b"".join(parts)


def _from_raw_profile(text: str) -> bytes:
    """The bytes of a text chunk as ImageMagick writes profiles: a name, a length, and hex."""
    try:
        return bytes.fromhex("".join(text.split()[2:]))
    except ValueError:
        return b""


def exif_of(image: Image.Image, *, dpi: tuple[float, float] | None) -> Image.Exif:
    """A picture's EXIF with its true size; ``dpi`` is put in if the file has no other place."""
    exif = Image.Exif()
    data = image.info.get("exif")
    if isinstance(data, bytes):
        try:
            exif.load(data)
            inner = exif.get_ifd(ExifTags.IFD.Exif)
        except Exception:  # not ours: a picture that somebody made
            return Image.Exif()
        for tag, length in ((0xA002, image.width), (0xA003, image.height)):
            if tag in inner:
                inner[tag] = length
        for tag in RESOLUTION:
            if tag in exif:
                del exif[tag]
    if dpi is not None:
        exif[282], exif[283], exif[296] = dpi[0], dpi[1], 2
    return exif


def dpi_of(image: Image.Image) -> tuple[float, float] | None:
    """Dots an inch, as the file or its EXIF says."""
    found = image.info.get("dpi")
    if not found and isinstance(image.info.get("exif"), bytes):
        exif = Image.Exif()
        try:
            exif.load(image.info["exif"])
            by = {2: 1.0, 3: 2.54}.get(exif.get(296, 2), 0.0)
            found = (float(exif[282]) * by, float(exif[283]) * by)
        except Exception:
            return None
    try:
        across, down = (float(each) for each in found or ())
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    sensible = all(1 <= each <= 60_000 for each in (across, down))  # else, or none at all
    return (across, down) if sensible else None


def saying(kind: str, image: Image.Image) -> tuple[dict[str, Any], list[str]]:
    """What Pillow is to be told to save beside the pixels, and notes on what finds no room."""
    notes: list[str] = []
    dpi = dpi_of(image)
    options: dict[str, Any] = {}
    xmp = image.info.get("xmp")
    resources = image.info.get("photoshop")
    resources = resources if isinstance(resources, dict) else {}
    if kind in ("PNG", "JPEG", "TIFF", "WEBP", "AVIF"):
        exif = exif_of(image, dpi=dpi if kind in ("WEBP", "AVIF") else None)
        if kind == "TIFF":
            exif_ifds(exif, image)
            extra = {700: xmp, 33723: resources.get(IPTC), 34377: written_resources(resources)}
            for tag, value in extra.items():
                if value:
                    exif[tag] = value
        data = exif.tobytes() if kind != "TIFF" and (len(exif) or image.info.get("exif")) else b""
        if kind == "JPEG" and len(data) > MARKER:
            notes.append("its EXIF is too long for a JPEG and was left out")
            data = b""
        if kind == "TIFF":
            options["exif"] = exif
        elif data:
            options["exif"] = data
        if image.info.get("icc_profile"):
            options["icc_profile"] = image.info["icc_profile"]
    if dpi is not None and kind in ("PNG", "JPEG", "TIFF", "BMP"):
        options["dpi"] = dpi
    if kind in ("WEBP", "AVIF", "JPEG") and isinstance(xmp, bytes):
        if kind == "JPEG" and len(xmp) > MARKER - 29:
            notes.append("its XMP is too long for a JPEG and was left out")
        else:
            options["xmp"] = xmp
    if kind == "JPEG" and resources:
        body = b"Photoshop 3.0\0" + written_resources(resources)
        if len(body) > MARKER:
            body = b"Photoshop 3.0\0" + written_resources(
                {k: v for k, v in resources.items() if k == IPTC}
            )
        if len(body) <= MARKER:
            options["extra"] = b"\xff\xed" + struct.pack(">H", len(body) + 2) + body
    if kind in ("JPEG", "GIF") and isinstance(image.info.get("comment"), bytes | str):
        options["comment"] = image.info["comment"]
    return options, notes


def exif_ifds(exif: Image.Exif, image: Image.Image) -> None:
    """Put the parts of an EXIF where Pillow looks for them when it writes a TIFF."""
    for ifd in IFDS:
        if exif.get_ifd(ifd) and ifd not in exif:
            exif[ifd] = 0


def png_chunks(image: Image.Image, request: str | None) -> PngImagePlugin.PngInfo:
    """The text chunks of a PNG, and how it says its colours where it has no profile."""
    chunks = PngImagePlugin.PngInfo()
    if request is not None:
        chunks.add_itxt(REQUEST_KEY, request)
    xmp = image.info.get("xmp")
    if isinstance(xmp, bytes):
        chunks.add_itxt("XML:com.adobe.xmp", xmp.decode("utf-8", "replace"))
    for key, value in (image.info.get(TEXT) or {}).items():
        try:
            value.encode("latin-1")
            chunks.add_text(key, value)
        except UnicodeEncodeError:
            chunks.add_itxt(key, value)
    resources = image.info.get("photoshop")
    if isinstance(resources, dict) and resources:
        body = written_resources(resources)
        digits = body.hex()
        lines = "\n".join(digits[at : at + 72] for at in range(0, len(digits), 72))
        chunks.add_text("Raw profile type iptc", f"\niptc\n{len(body):8d}\n{lines}\n", zip=True)
    for name, body in image.info.get(CHUNKS) or ():
        if name == b"cICP" or not image.info.get("icc_profile"):
            chunks.add(name, body)
    return chunks
