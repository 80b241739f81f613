"""Good files of every kind that varpaint reads, and ways of damaging them."""

from __future__ import annotations

import io
import math
import random
import struct
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

FORMATS = ("PNG", "APNG", "PNG16", "JPEG", "MPO", "WEBP", "TIFF", "TIFF16", "GIF", "BMP", "PPM",
           "JPEG2000", "AVIF", "ICO", "TGA")  # fmt: skip
FOREIGN = (
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n", b"GIF89a", b"\xff\xd8\xff\xe0",
    b"II*\0\x08\0\0\0\xff\xff", b"BM" + bytes(60), b"RIFF\xff\xff\xff\xffWEBPVP8 ", b"", b"\0" * 99,
    b"P6 99999999 99999999 255\n", b"Pf\n-3 5\n1\n", b"\x89PNG\r\n\x1a\n", b"<svg/>", b"PK\3\4",
    b"\0\0\0\x1cftypheic" + bytes(40), b"\0\0\0\x1cftypavif" + bytes(40), b"8BPS\0\1" + bytes(40),
)  # fmt: skip
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**53, 2**63, -(2**70), 0.5, 1e308, math.inf, -math.inf,
    math.nan, "", " ", "0", "-1", "1e999", "nan", "auto", "whole", "bird", "b" * 400, "\0", "\n",
    "../../etc/passwd", "~nosuchuser", "25%", "nan%", "1e5%", "[[", [], [[]], [1], [None] * 40, {},
    {"self": 1}, {"a": {}}, "<script>", "7,7,7", "7 7 x",
)  # fmt: skip


# ---- good ones, to be damaged -------------------------------------------------------------------


@cache
def picture_bytes(form: str, size: tuple[int, int] = (40, 32)) -> bytes:
    """A good picture file."""
    import numpy as np
    from PIL import Image

    from tests.pictures import noisy_rgb

    image = noisy_rgb(*size)
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a picture"
    stream = io.BytesIO()
    deep = np.asarray(image).astype(np.uint16) * 257
    if form in ("PNG16", "TIFF16"):
        import cv2

        return bytes(cv2.imencode(".png" if form == "PNG16" else ".tif", deep)[1])
    if form == "APNG":
        image.save(stream, "PNG", save_all=True, append_images=[image.rotate(90)], exif=exif)
    elif form == "MPO":
        image.save(stream, "MPO", save_all=True, append_images=[image])
    elif form in ("GIF", "ICO", "BMP", "PPM", "TGA", "JPEG2000"):
        image.save(stream, form)
    else:
        image.save(stream, form, exif=exif.tobytes())
    return stream.getvalue()


@cache
def project_bytes() -> bytes:
    """A good project."""
    from PIL import Image

    from app import project
    from app.session import Session
    from engine.events import Result
    from engine.request import EditRequest
    from engine.request.options import EditOptions
    from tests.pictures import noisy_rgb

    source = picture_bytes("PNG")
    mask = Image.new("L", (40, 32))
    mask.paste(255, (5, 5, 20, 20))
    session = Session().opened(noisy_rgb(40, 32), "a.png", source).masked(mask)
    request = EditRequest(task="inpaint", options=EditOptions(seed=4, variations=2))
    result = Result((noisy_rgb(40, 32, 1), noisy_rgb(40, 32, 2)), (4, 5), 1.0, request, (0.0, 1.0))
    session = session.ran(result).toggled().used().marked(mask, "bird")
    with tempfile.TemporaryDirectory() as folder:
        project.save(Path(folder) / "a.varpaint", session, {"seed": "7"})
        return (Path(folder) / "a.varpaint").read_bytes()


@cache
def weights_bytes(kind: str) -> bytes:
    """A good file of weights: vqvae or var as safetensors, or var as a torch pickle."""
    import torch

    from engine.weights.saving import save_model
    from tests.tiny import LABELS, tiny_var, tiny_vqvae

    if kind == "pickle":
        stream = io.BytesIO()
        torch.save(dict(tiny_var().state_dict()), stream)
        return stream.getvalue()
    with tempfile.TemporaryDirectory() as folder:
        save_model(Path(folder), tiny_vqvae(), tiny_var(), labels=LABELS, about="x")
        return (Path(folder) / f"{kind}.safetensors").read_bytes()


REQUEST: dict[str, Any] = {
    "task": "inpaint", "label": "bird", "left": 3, "right": "25%", "model": "tiny",
    "regions": [{"label": "boat"}],
    "options": {"seed": 7, "variations": 2, "guidance": 3.0, "coarse_seeds": [1, 2], "context": 64},
}  # fmt: skip


# ---- damage -------------------------------------------------------------------------------------


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Some bytes flipped, cut, doubled, moved, or turned into numbers that are too large."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16, 64))):
        if not out:
            break
        at = rng.randrange(len(out))
        if rng.random() < 0.5:
            at = min(at, rng.randrange(200))  # heads decide most
        length = rng.choice((1, 2, 4, 8, 40, 300))
        how = rng.randrange(8)
        if how == 0:
            out[at] ^= 1 << rng.randrange(8)
        elif how == 1:
            out[at] = rng.randrange(256)
        elif how == 2:
            out[at : at + length] = bytes(rng.randrange(256) for _ in range(length))
        elif how == 3:
            del out[at : at + length]
        elif how == 4:
            out[at:at] = out[at : at + length] * rng.choice((1, 3))
        elif how == 5:
            number = rng.choice((0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 0x80000000, 65535, 70_000))
            out[at : at + 4] = struct.pack(rng.choice((">I", "<I")), number)
        elif how == 6:
            out[at : at + length] = bytes(length)
        else:
            del out[at:]
    return bytes(out)


def changed(value: Any, rng: random.Random) -> Any:
    """A JSON value with something odd in it."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        out, name = dict(value), rng.choice(list(value))
        how = rng.random()
        if how < 0.1:
            del out[name]
        elif how < 0.25:
            name = rng.choice(("self", "", "__class__", "x" * 300, "sed", "options"))
            out[name] = rng.choice(ODD)
        else:
            out[name] = changed(value[name], rng)
        return out
    if isinstance(value, list) and value and rng.random() < 0.7:
        out_list = list(value)
        out_list[rng.randrange(len(value))] = changed(rng.choice(value), rng)
        return out_list * rng.choice((1, 1, 50))
    return rng.choice(ODD)


def some_file(rng: random.Random) -> bytes:
    if rng.random() < 0.08:
        return rng.choice(FOREIGN) + bytes(rng.randrange(256) for _ in range(rng.randrange(60)))
    data = picture_bytes(rng.choice(FORMATS))
    return data if rng.random() < 0.03 else damaged(data, rng)
