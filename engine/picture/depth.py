"""Pictures of more than 8 bits a channel, which Pillow has no mode for.

Such a picture is a Pillow picture of 8 bits that holds, beside its pixels, the whole ones
(`Deep`): they are believed only while they are the picture that Pillow shows.
"""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from engine.errors import ImageError

DEEP = "varpaint_deep"  # the key in a picture's info
RANGES = (8, 10, 12, 14, 16)  # bits that a picture of 16 may really use
CHANNELS = {"LA": 2, "RGB": 3, "RGBA": 4}
PNG_COLOURS = {"RGB": 2, "LA": 4, "RGBA": 6}


@dataclass(frozen=True, eq=False)
class Deep:
    """The pixels (H, W, C) uint16 of a picture, and the value that counts as white in it."""

    values: NDArray[np.uint16]
    peak: int

    @classmethod
    def of(cls, values: NDArray[np.uint16]) -> Deep:
        return cls(values, peak_of(int(values.max(initial=0))))

    def bytes8(self, part: tuple[slice, slice] = (slice(None), slice(None))) -> NDArray[np.uint8]:
        """The pixels in 0..255, rounded."""
        wide = self.values[part].astype(np.uint32) * 255 + self.peak // 2
        return np.minimum(wide // self.peak, 255).astype(np.uint8)

    def turned(self, orientation: int) -> Deep:
        """Turned upright as an EXIF orientation from 1 to 8 says."""
        values = self.values
        if orientation in (5, 6, 7, 8):
            values = values.swapaxes(0, 1)
        if orientation in (2, 3, 6, 7):
            values = values[:, ::-1]
        if orientation in (3, 4, 7, 8):
            values = values[::-1]
        return Deep(np.ascontiguousarray(values), self.peak)

    def picture(self, mode: str, info: dict[Any, Any]) -> Image.Image:
        """As a Pillow picture of 8 bits that holds the whole pixels beside its own."""
        height, width = self.values.shape[:2]
        image = Image.frombytes(mode, (width, height), self.bytes8().tobytes())
        image.info = {**info, DEEP: self}
        return image


def peak_of(highest: int) -> int:
    """The white of a picture of 16 bits or more: 12 bits in 16 have a range of their own."""
    for bits in RANGES:
        if highest < 1 << bits:
            return (1 << bits) - 1 if highest > 0 else 65535
    return max(highest, 1)


def deep_of(image: Image.Image) -> Deep | None:
    """The whole pixels of a picture, if it has such and they are what it shows."""
    found = image.info.get(DEEP)
    if not isinstance(found, Deep) or image.mode not in CHANNELS:
        return None
    shape = (image.height, image.width, CHANNELS[image.mode])
    if found.values.shape != shape or not np.array_equal(found.bytes8(), np.asarray(image)):
        return None
    return found


def bits_of(image: Image.Image, data: bytes) -> int:
    """Bits a channel that a file declares, for those of which Pillow keeps 8; or else 8."""
    if image.mode not in (*CHANNELS, "CMYK", "L"):
        return 8
    if image.format == "PNG":
        return data[24]
    if image.format == "TIFF":
        return int(max(getattr(image, "tag_v2", {}).get(258, (8,))))
    if image.format == "PPM":
        words = data[:256].split()
        return 16 if words[:1] == [b"P6"] and _maxval(data) > 255 else 8
    if image.format == "JPEG2000":
        at = data.find(b"\xff\x51")
        return (data[at + 40] & 127) + 1 if at >= 0 and len(data) > at + 40 else 8
    if image.format in ("AVIF", "HEIF"):
        at = data.find(b"av1C")
        if at >= 0 and len(data) > at + 6 and data[at + 6] & 0x40:
            return 12 if data[at + 6] & 0x20 else 10
    return 8


def _maxval(data: bytes) -> int:
    """The highest value that a PPM declares."""
    lines = (line.split(b"#")[0] for line in data[:4096].split(b"\n"))
    words = b" ".join(lines).split()
    return int(words[3]) if len(words) > 3 and words[3].isdigit() else 255


def whole(image: Image.Image, data: bytes, bits: int, name: str) -> tuple[str, Deep]:
    """The mode and whole pixels of a file that Pillow would reduce; ImageError if it cannot be."""
    told = f"{name}: {bits} bits a channel as {image.format} {image.mode} cannot be kept whole; "
    remedy = "save it as a PNG of 16 bits, or with 8 bits a channel"
    colour = getattr(image, "tag_v2", {}).get(262, 2)
    if image.mode not in CHANNELS or colour != 2:
        raise ImageError(told + remedy)
    cv2.utils.logging.setLogLevel(0)  # what it has to say is told by our own error
    found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if found is None or found.dtype != np.uint16 or found.shape[:2] != image.size[::-1]:
        raise ImageError(told + remedy)
    if found.ndim == 2:
        found = found[..., None]
    if found.shape[2] == 4:
        grey = image.mode == "LA" or (image.format == "PNG" and data[25] == 4)
        mode = "LA" if grey else "RGBA"
        found = found[..., [0, 3]] if mode == "LA" else found[..., [2, 1, 0, 3]]
    elif found.shape[2] == 3 and image.mode == "RGB":
        mode, found = "RGB", found[..., ::-1]
    else:
        raise ImageError(told + remedy)
    return mode, Deep.of(np.ascontiguousarray(found))


def as_png(deep: Deep, mode: str, bare: bytes) -> bytes:
    """A PNG of 16 bits a channel with all that ``bare``, a PNG of one pixel, says beside it."""
    height, width = deep.values.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 16, PNG_COLOURS[mode], 0, 0, 0)
    raw = deep.values.astype(">u2").view(np.uint8).reshape(height, -1)
    step = 2 * deep.values.shape[2]
    rows = np.empty((height, raw.shape[1] + 1), np.uint8)
    rows[:, 0] = 1  # each byte is told by its difference from the pixel before
    rows[:, 1 : 1 + step] = raw[:, :step]
    rows[:, 1 + step :] = raw[:, step:] - raw[:, :-step]
    said = [(k, v) for k, v in chunks(bare) if k not in (b"IHDR", b"IDAT", b"IEND", b"tRNS")]
    packed = zlib.compress(rows.tobytes(), 6)
    every = [(b"IHDR", header), *said, (b"IDAT", packed), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, body) for kind, body in every)


def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """The chunks of a PNG, as far as they go."""
    found, at = [], 8
    while at + 12 <= len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        found.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def as_tiff(deep: Deep, mode: str, bare: bytes) -> bytes:
    """A TIFF of 16 bits a channel with all that ``bare``, a TIFF of one pixel, says beside it."""
    height, width, count = deep.values.shape
    with Image.open(io.BytesIO(bare), formats=("TIFF",)) as said:
        assert isinstance(said, TiffImagePlugin.TiffImageFile)
        tags = TiffImagePlugin.ImageFileDirectory_v2(prefix=b"II")
        for tag in said.tag_v2:
            if tag in (34665, 34853):
                tags[tag] = said.getexif().get_ifd(tag)
            else:
                tags[tag] = said.tag_v2[tag]
                tags.tagtype[tag] = said.tag_v2.tagtype[tag]
    shape = {256: width, 257: height, 277: count, 278: height, 259: 1, 284: 1}
    for tag, value in shape.items():
        tags[tag] = value
    tags[258] = (16,) * count
    tags[262] = 1 if mode == "LA" else 2
    if mode in ("LA", "RGBA"):
        tags[338] = 2
    tags.tagtype[273] = tags.tagtype[279] = 4
    tags[279], tags[273] = height * width * count * 2, 0
    stream = io.BytesIO()
    tags.save(stream)
    stream.write(deep.values.astype("<u2").tobytes())
    return stream.getvalue()
