"""Hostile inputs by the thousand: each is taken, or refused in one line of our own.

    python tests/hostile.py [--count 2000] [--seed 7] [--only picture]

Pictures of fifteen formats, masks, projects, weights, requests, options, command lines and data
URLs, each a good one that was damaged or one that never was. A case is made from the seed and its
number alone, so that it can be tried again. A child process takes one after the other: a traceback,
the child's death, more than 20 seconds, more than 2 GB, or a file anywhere but in the output is a
failure.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import io
import json
import math
import multiprocessing
import os
import random
import struct
import sys
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

PATIENCE = 20.0  # seconds that one case may take
MEMORY = 2000.0  # MB that the process may have at most
START = 120.0  # seconds until a child is there
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


@dataclass(frozen=True)
class Failure:
    """What went wrong with one case."""

    number: int
    kind: str
    what: str


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


# ---- the cases ----------------------------------------------------------------------------------


@cache
def editor() -> Any:
    import torch

    from tests.tiny import tiny_editor

    torch.set_num_threads(1)
    return tiny_editor()


def some_file(rng: random.Random) -> bytes:
    if rng.random() < 0.08:
        return rng.choice(FOREIGN) + bytes(rng.randrange(256) for _ in range(rng.randrange(60)))
    data = picture_bytes(rng.choice(FORMATS))
    return data if rng.random() < 0.03 else damaged(data, rng)


def take_picture(rng: random.Random, out: Path) -> None:
    """Opened, edited where it is small, and saved in some format."""
    from PIL import Image

    from engine.picture.files import SUFFIXES, open_image, write_picture
    from engine.picture.source import Source
    from engine.request import EditRequest

    image = open_image(some_file(rng))
    mask = Image.new("L", image.size)
    mask.paste(255, (0, 0, max(image.width // 2, 1), max(image.height // 2, 1)))
    if image.width * image.height < 10_000:
        options = {"seed": rng.randrange(99), "feather": rng.choice((0, 3))}
        request = EditRequest(task="inpaint", image=image, mask=mask, options=options)
        image = editor().run(request).images[0]
    else:
        Source(image).view((0, 0, min(image.width, 64), min(image.height, 64)))
    if image.width * image.height < 4_000_000:
        write_picture(out / f"x{rng.choice(list(SUFFIXES))}", image)


def take_mask(rng: random.Random, out: Path) -> None:
    """Any picture as a mask."""
    from engine.picture.files import open_image
    from engine.request import EditRequest
    from tests.pictures import noisy_rgb

    mask = open_image(some_file(rng))
    size = mask.size if mask.width * mask.height < 10_000 else (40, 32)
    image = noisy_rgb(*size)
    editor().plan(EditRequest(task="inpaint", image=image, mask=mask, options={"seed": 1}))


def take_project(rng: random.Random, out: Path) -> None:
    from app import project
    from app.session import Session

    path = out / "a.varpaint"
    if rng.random() < 0.5:
        path.write_bytes(damaged(project_bytes(), rng))
    else:  # a sound zip of unsound parts
        with zipfile.ZipFile(io.BytesIO(project_bytes())) as good:
            parts = {name: good.read(name) for name in good.namelist()}
        name = rng.choice(list(parts))
        if name == project.INDEX:
            parts[name] = json.dumps(changed(json.loads(parts[name]), rng)).encode()
        else:
            parts[name] = some_file(rng)
        with zipfile.ZipFile(path, "w", rng.choice((0, 8))) as file:
            for each, data in parts.items():
                file.writestr(each, data)
    session, fields, _ = project.load(path, Session())
    from app.forms import kept_fields

    kept_fields(fields)
    for moment in session.moments:
        assert moment.image.size
    project.save(out / "again.varpaint", session, fields)


def take_weights(rng: random.Random, out: Path) -> None:
    from engine.weights.checkpoint import load_pair
    from engine.weights.registry import resolve

    kind = rng.choice(("vqvae", "var", "pickle"))
    for each in ("vqvae", "var"):
        (out / f"{each}.safetensors").write_bytes(weights_bytes(each))
    bad = out / f"{'var' if kind == 'pickle' else kind}.safetensors"
    bad.write_bytes(damaged(weights_bytes(kind), rng))
    files = resolve(str(out), out)
    load_pair(files.vqvae, files.var)


def take_request(rng: random.Random, out: Path) -> None:
    from engine.request import reread
    from tests.pictures import noisy_rgb

    text = json.dumps(changed(changed(REQUEST, rng), rng))
    if rng.random() < 0.3:
        text = damaged(text.encode(), rng).decode("utf-8", "replace")
    if rng.random() < 0.05:
        text = rng.choice(("[", '{"a":')) * rng.choice((10, 100_000))
    request, _ = reread(text)
    image = None if request.task == "generate" else noisy_rgb(40, 32)
    mask = None if request.task in ("generate", "outpaint") else noisy_rgb(40, 32).convert("L")
    decided = editor().plan(request.model_copy(update={"image": image, "mask": mask}))
    decided.require(20_000, 1 << 30)


def take_options(rng: random.Random, out: Path) -> None:
    from app.forms import edit_request, kept_fields, request_of
    from app.session import Session
    from engine.request.options import LEVERS
    from tests.pictures import noisy_rgb

    names = rng.sample([*LEVERS, "self", "sed", "", "__init__"], rng.choice((1, 2, 5)))
    given = {name: rng.choice(ODD) for name in names}
    kept_fields({name.replace("_", "-"): value for name, value in given.items()})
    sides = {side: rng.choice(ODD) for side in rng.sample(("left", "top"), rng.randrange(3))}
    moment = Session().opened(noisy_rgb(20, 20), "a.png").current
    if rng.random() < 0.5:
        fields = {name.replace("_", "-"): value for name, value in given.items()}
        request = request_of(moment, "outpaint", rng.choice(ODD), None, fields)
    else:
        label = rng.choice(ODD)
        request = edit_request(
            "outpaint", image=noisy_rgb(20, 20), label=label, margins=sides, options=given
        )
    editor().plan(request).require(20_000, 1 << 30)


def take_line(rng: random.Random, out: Path) -> None:
    """A command line: one line on standard error, and no traceback."""
    from engine.__main__ import main

    (out / "a.png").write_bytes(some_file(rng))
    words = [str(each) for each in ODD if isinstance(each, str | int | float)] + ["x" * 300]
    line = [rng.choice(("inpaint", "outpaint", "edit-class", "generate", "models", "nothing"))]
    if line[0] == "models":
        line += [rng.choice(("verify", "download")), rng.choice(["no-such", *words])]
    elif line[0] != "generate":
        line.append(rng.choice((str(out / "a.png"), rng.choice(words))))
    flags = ("--mask", "--right", "--seed", "--set", "--label", "--variations", "--device", "-o",
             "--precision", "--feather")  # fmt: skip
    line += ["--model", rng.choice(["no-such-model", *words])]
    for flag in rng.sample(flags, rng.randrange(4)):
        line += [flag, f"{rng.choice(words)}={rng.choice(words)}" if flag == "--set" else
                 str(out / "o.png") if flag == "-o" else rng.choice(words)]  # fmt: skip
    told = io.StringIO()
    with contextlib.redirect_stderr(told), contextlib.redirect_stdout(told):
        code = main([each for each in line if "\0" not in each])
    last = told.getvalue().strip().splitlines()[-1:]
    assert code in (0, 2), code
    assert code == 0 or (last and last[0].startswith("error: ")), told.getvalue()
    assert "Traceback" not in told.getvalue(), told.getvalue()


def take_canvas(rng: random.Random, out: Path) -> None:
    """What a page sends as painted."""
    from app.canvas import read_mask

    body = base64.b64encode(some_file(rng)).decode()
    if rng.random() < 0.3:
        body = damaged(body.encode(), rng).decode("latin-1")
    read_mask(rng.choice(("data:image/png;base64,", "data:,", "")) + body, (40, 32))


TAKES: dict[str, Callable[[random.Random, Path], None]] = {
    "picture": take_picture, "mask": take_mask, "project": take_project, "weights": take_weights,
    "request": take_request, "options": take_options, "line": take_line, "canvas": take_canvas,
}  # fmt: skip
SHARES = {
    "picture": 8, "mask": 2, "project": 3, "weights": 2, "request": 2, "options": 3, "line": 1,
    "canvas": 2,
}  # fmt: skip


def take(seed: int, number: int, kind: str, out: Path) -> tuple[str, str]:
    """("taken" or "refused" or "failed", what is to be said)."""
    from engine.errors import EngineError

    try:
        TAKES[kind](random.Random(f"{seed}/{number}"), out)
    except EngineError as error:
        line = str(error)
        if "\n" in line or not line.strip() or len(line) > 2000:
            return "failed", f"not one line: {line[:500]!r}"
        return "refused", line
    except BaseException:
        return "failed", traceback.format_exc()
    return "taken", ""


# ---- the child that takes them, and who watches it ----------------------------------------------


def _child(work: Any, seed: int, home: str) -> None:
    """Take cases as they come, each in a folder of its own."""
    import warnings

    warnings.simplefilter("ignore")
    tempfile.tempdir = str(Path(home) / "temporary")
    os.chdir(Path(home) / "here")
    before = _listing(Path(home))
    editor()
    work.send("ready")
    while (asked := work.recv()) is not None:
        number, kind = asked
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # forget the peak
        with tempfile.TemporaryDirectory(dir=Path(home) / "out") as folder:
            how, told = take(seed, number, kind, Path(folder))
        stray = [name for name in _listing(Path(home)) if name not in before]
        if stray:
            how, told = "failed", f"files elsewhere: {stray[:5]}"
        peak = _peak()
        if peak > MEMORY:
            how, told = "failed", f"{peak:.0f} MB of memory; {told}"
        work.send((how, told))


def _listing(home: Path) -> set[str]:
    """What lies where nothing may: a vault's folder goes with its session."""
    return {
        str(path) for name in ("here", "temporary") for path in (home / name).rglob("*")
        if not any("varpaint-history" in part for part in path.parts)
    }  # fmt: skip


def _peak() -> float:
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1000
    return 0.0


class _Watched:
    """A child and its line; a new one whenever the old one died or was too slow."""

    def __init__(self, seed: int, home: str) -> None:
        self._seed, self._home = seed, home
        for name in ("here", "temporary", "out"):
            (Path(home) / name).mkdir(exist_ok=True)
        self._begin()

    def _begin(self) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._line, theirs = spawn.Pipe()
        arguments = (theirs, self._seed, self._home)
        self._process = spawn.Process(target=_child, args=arguments, daemon=True)
        self._process.start()
        theirs.close()
        if not self._line.poll(START) or self._line.recv() != "ready":
            raise RuntimeError("the child did not start")

    def take(self, number: int, kind: str) -> tuple[str, str]:
        try:
            self._line.send((number, kind))
            if self._line.poll(PATIENCE):
                how, told = self._line.recv()
                return how, told
            told = f"still at work after {PATIENCE:.0f} s"
        except (EOFError, OSError):
            self._process.join(5)
            told = f"the process died ({self._process.exitcode})"
        self.end()
        self._begin()
        return "failed", told

    def end(self) -> None:
        with contextlib.suppress(OSError):
            self._line.send(None)
            self._process.join(0.5)
        self._process.kill()
        self._process.join()
        self._line.close()


def run(count: int, seed: int, only: str | None = None) -> tuple[Counter[str], list[Failure]]:
    """How many cases ended how, and the failures."""
    ends: Counter[str] = Counter()
    failures = []
    kinds = [kind for kind, share in SHARES.items() for _ in range(share)]
    with tempfile.TemporaryDirectory() as home:
        child = _Watched(seed, home)
        try:
            for number in range(count):
                kind = only or kinds[number % len(kinds)]
                how, told = child.take(number, kind)
                ends[f"{kind} {how}"] += 1
                if how == "failed":
                    failures.append(Failure(number, kind, told))
        finally:
            child.end()
    return ends, failures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--only", choices=[*TAKES])
    flags = parser.parse_args()
    began = time.monotonic()
    ends, failures = run(flags.count, flags.seed, flags.only)
    for failure in failures:
        print(f"--- {failure.kind} {failure.number}\n{failure.what}")
    for end, number in sorted(ends.items()):
        print(f"{number:6}  {end}")
    print(f"{flags.count} inputs, {len(failures)} failures, {time.monotonic() - began:.0f} s")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
