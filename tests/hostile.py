"""Hostile inputs by the thousand: each is taken, or refused in one line of our own.

    python tests/hostile.py [--count 2000] [--seed 7] [--only picture]

Pictures of fifteen formats, masks, projects, weights, requests, options, command lines and data
URLs, each a good one that was damaged or one that never was. A case is made from the seed and its
number alone, so that it can be tried again. A child process takes one after the other: a traceback,
the child's death, more than 20 seconds, more than 2 GB, or a file anywhere but in the output is a
failure.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import multiprocessing
import os
import random
import sys
import tempfile
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.damage import ODD, REQUEST, changed, damaged, project_bytes, some_file, weights_bytes
from tests.failures import MEMORY, PATIENCE, Failure, told_of

START = 120.0  # seconds until a child is there


# ---- the cases ----------------------------------------------------------------------------------


@cache
def editor() -> Any:
    import torch

    from tests.tiny import tiny_editor

    torch.set_num_threads(1)
    return tiny_editor()


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


if __name__ == "__main__":
    told_of(__doc__, run, TAKES, count=2000)
