"""Sessions on disk: a window's work outlives its server, however that ended.

Each session has a folder in the user's own one (0700), named after a digest of its key: an index,
and its pictures, each written once. A result differs from the picture that it was made from by what
was painted, so only that part of it is written. What a session takes over from another, as after a
refresh, is linked, not copied. The index is written last and whole: at whatever moment a server is
killed, it names files that are there.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
import shutil
import stat
import sys
import threading
import time
import zipfile
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from PIL import Image, ImageChops
from pydantic import BaseModel

from app.limits import USUAL, Limits, require_room
from app.moments import Marked, Marks, Moment, Variation
from app.project import INDEX, Project, Reader, Writer
from app.session import Session
from app.vault import Held
from engine.errors import EngineError
from engine.picture.depth import DEEP
from engine.picture.files import encode_image, encode_png
from engine.picture.saving import write_whole

SHORT = 64  # patches on patches, before a picture is written whole again
PART = 0.5  # of a picture's pixels: a larger patch is no gain
PATCHED = ("L", "LA", "RGB", "RGBA")  # modes that a PNG holds as they are
STRIP = 256  # rows that are compared at a time
EVERY = 30.0  # seconds between two looks at how much is kept

log = logging.getLogger("varpaint")


def home() -> Path:
    """The user's own folder for what programs keep."""
    given = os.environ.get("XDG_STATE_HOME")
    if given:
        return Path(given) / "varpaint"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local") / "varpaint"
    if sys.platform == "darwin":
        return Path.home() / "Library/Application Support/varpaint"
    return Path.home() / ".local/state/varpaint"


@dataclass(frozen=True)
class Glance:
    """What is told of a kept session before it is opened: its picture's name, the steps of its
    history, and when it was changed last (seconds since 1970)."""

    name: str
    steps: int
    then: float


@dataclass(frozen=True)
class _File:
    """A picture on disk; where it is a patch, the file of what it lies on, and its corner."""

    path: Path
    under: _File | None = None
    corner: tuple[int, int] = (0, 0)

    @property
    def depth(self) -> int:
        return 1 + self.under.depth if self.under is not None else 0


class _Patch(BaseModel):
    under: str
    corner: tuple[int, int]


class _Marks(BaseModel):
    mask: str | None = None
    regions: list[tuple[str, str, int]]  # mask, class, colour


class _Steps(BaseModel):
    """What a project leaves out of a moment."""

    earlier: list[_Marks]
    later: list[_Marks]
    made_from: str | None = None


class _Index(BaseModel):
    """A session on disk."""

    project: Project
    version: int
    looking: bool
    steps: list[_Steps]
    scales: list[list[int]]  # of each run, as the next
    grown: list[list[str]]
    patches: dict[str, _Patch]


class Kept:
    """The sessions that are kept in a ``folder``, within the ``limits``; written in the background,
    the newest state of each."""

    def __init__(self, folder: Path, limits: Limits = USUAL) -> None:
        self.folder = folder
        self._limits = limits
        self._lock = threading.Condition()
        self._waiting: OrderedDict[str, Session] = OrderedDict()
        self._writing: Session | None = None
        self._over = False
        self._files: WeakKeyDictionary[Held, _File] = WeakKeyDictionary()
        self._looked = -EVERY
        self._usable = self._made()
        if self._usable:
            threading.Thread(target=self._work, name="keep", daemon=True).start()

    def _made(self) -> bool:
        """Have the folder, for nobody else's eyes."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = self.folder.lstat()
            mine = not hasattr(os, "getuid") or found.st_uid == os.getuid()
            if not stat.S_ISDIR(found.st_mode) or not mine:
                raise PermissionError(1, "it is another user's")
            self.folder.chmod(0o700)
        except OSError as error:
            log.warning("%s: work is not kept there (%s)", self.folder, error.strerror)
            return False
        return True

    # ---- from and to the windows ------------------------------------------------------------

    def put(self, session: Session) -> None:
        """Write a session soon. Nobody waits for it."""
        if self._usable:
            with self._lock:
                self._waiting[session.key] = session
                self._waiting.move_to_end(session.key)
                self._lock.notify_all()

    def find(self, key: str, fresh: Session) -> Session | None:
        """The session of a key, in the place of ``fresh``; None where none is kept, or it cannot
        be read."""
        with self._lock:
            if key in self._waiting:
                return self._waiting[key]
        place = self._place(key)
        if not key or not (place / INDEX).is_file():
            return None
        try:
            session = _read(place, fresh, self._files)
            (place / INDEX).touch()  # it was wanted today
        except (EngineError, OSError, ValueError, LookupError) as error:
            log.warning("a kept session cannot be read (%s)", " ".join(str(error).split())[:200])
            return None
        return session

    def glance(self, key: str) -> Glance | None:
        """What there is under a key; None where there is nothing."""
        try:
            path = self._place(key) / INDEX
            index = json.loads(path.read_bytes())["project"]
            return Glance(str(index["name"]), len(index["moments"]), path.stat().st_mtime)
        except (OSError, ValueError, LookupError, TypeError):
            return None

    def flush(self, patience: float = 10.0) -> None:
        """Wait until all that was put is written."""
        with self._lock:
            self._lock.wait_for(lambda: not self._waiting and self._writing is None, patience)

    def close(self) -> None:
        """Write what waits; then no more: the server ends."""
        self.flush(5.0)
        with self._lock:
            self._over = True
            self._lock.notify_all()

    def _place(self, key: str) -> Path:
        return self.folder / hashlib.sha256(key.encode()).hexdigest()[:40]

    # ---- in the background --------------------------------------------------------------------

    def _work(self) -> None:
        with suppress(AttributeError, OSError):  # Linux: this thread alone gives way to all others
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        while True:
            with self._lock:
                self._writing = None
                self._lock.notify_all()
                self._lock.wait_for(lambda: self._waiting or self._over, EVERY)
                if self._over:
                    return
                if self._waiting:
                    _, self._writing = self._waiting.popitem(last=False)
            try:
                if self._writing is not None:
                    self._write(self._writing)
                self._tidy()
            except Exception as error:  # such as a full disk: the next change tries again
                log.warning("a session is not kept (%s)", " ".join(str(error).split())[:200])

    def _write(self, session: Session) -> None:
        place = self._place(session.key)
        place.mkdir(mode=0o700, exist_ok=True)
        require_room(self.folder)
        writer = _Folder(place, session, self._files)
        writer.write(session, {})
        writer.finish()

    def _tidy(self) -> None:
        """Let go of what is old, and of those unused longest beyond the bound; linked files count
        once."""
        if time.monotonic() - self._looked < EVERY:
            return
        self._looked = time.monotonic()
        tidy(self.folder, self._limits.kept, self._limits.kept_age)


def tidy(folder: Path, most: int, age: float) -> None:
    """Remove sessions older than ``age`` seconds, and those unused longest beyond ``most`` bytes of
    all of them."""
    now, found = time.time(), []
    for place in folder.iterdir():
        with suppress(OSError):
            index = place / INDEX
            then = (index if index.exists() else place).stat().st_mtime
            found.append((then, place))
    counted: set[int] = set()
    left = most
    for then, place in sorted(found, reverse=True):
        size = 0
        with suppress(OSError):
            for path in place.iterdir():
                status = path.stat()
                if status.st_ino not in counted:
                    counted.add(status.st_ino)
                    size += status.st_size
        left -= size
        if now - then > age or (left < 0 and now - then > 1.0):
            shutil.rmtree(place, ignore_errors=True)
            left += size


# ---- writing ------------------------------------------------------------------------------------


class _Folder(Writer):
    """Writes a session into its folder: what is there already stays."""

    def __init__(self, place: Path, session: Session, known: WeakKeyDictionary[Held, _File]):
        super().__init__(self)  # type: ignore[arg-type]  # the zip that it writes to: `writestr`
        self._place = place
        self._session = session
        self._known = known
        self._patches: dict[str, _Patch] = {}
        self._under = _underlying(session)

    def writestr(self, name: str, data: bytes | str, *_: Any) -> None:
        """Called with the project's index, at the end."""
        assert name == INDEX
        session = self._session
        runs = list(dict.fromkeys(v.run for v in session.shown))
        index = _Index(
            project=Project.model_validate_json(data),
            version=session.version,
            looking=session.looking,
            steps=[
                _Steps(
                    earlier=[self._marks(each) for each in moment.earlier],
                    later=[self._marks(each) for each in moment.later],
                    made_from=self._names.get(moment.made_from) if moment.made_from else None,
                )
                for moment in session.moments
            ],
            scales=[list(run.scales) for run in runs],
            grown=[list(run.grown) for run in runs],
            patches=self._patches,
        )
        write_whole(self._place / INDEX, index.model_dump_json(exclude_none=True).encode())

    def finish(self) -> None:
        """Remove what the session no longer needs."""
        needed = {INDEX, *self._names.values(), *self._patches}
        needed |= {patch.under for patch in self._patches.values()}
        for path in self._place.iterdir():
            if path.name not in needed:
                path.unlink(missing_ok=True)

    def _marks(self, marks: Marks) -> _Marks:
        return _Marks(
            mask=self._mask(marks.held_mask) if marks.held_mask is not None else None,
            regions=[(self._mask(r.held), r.label, r.colour) for r in marks.regions],
        )

    def _source(self, moment: Moment) -> None:
        assert moment.source is not None
        source = moment.source
        self._names[moment.held] = self._stored(moment.held, lambda: (source.read(), None, ""))

    def _picture(self, held: Held, request: Any) -> str:
        if held not in self._names:
            self._names[held] = self._stored(held, lambda: self._encoded(held))
        return self._names[held]

    def _mask(self, held: Held) -> str:
        if held not in self._names:
            def grey() -> tuple[bytes, None, str]:
                return encode_png(held.image), None, ".png"

            self._names[held] = self._stored(held, grey)
        return self._names[held]

    def _encoded(self, held: Held) -> tuple[bytes, _File | None, str]:
        """A picture as a patch on another where that is smaller, else whole."""
        image, under = held.image, self._under.get(held)
        if under is not None:
            name = self._picture(under, None)
            patch = _patch(image, under.image)
            below = self._known[under]
            if patch is not None and below.depth < SHORT:
                part, corner = patch
                return encode_png(part), _File(self._place / name, below.under, corner), ".png"
        if image.mode in PATCHED or DEEP in image.info:
            return encode_png(image), None, ".png"
        return encode_image(image, ".tiff" if image.mode != "P" else ".png"), None, ".png"

    def _stored(self, held: Held, encoded: Any) -> str:
        """The name of a picture's file in this folder, which is written or linked if need be."""
        file = self._known.get(held)
        if file is not None and self._linked(file):
            return file.path.name
        data, below, suffix = encoded()
        path = self._place / f"{secrets.token_hex(12)}{suffix}"
        write_whole(path, data)
        under, corner = None, (0, 0)
        if below is not None:
            under, corner = self._known[self._under[held]], below.corner
            self._patches[path.name] = _Patch(under=under.path.name, corner=corner)
        self._known[held] = _File(path, under, corner)
        return path.name

    def _linked(self, file: _File) -> bool:
        """Have a file of another session's folder, and all that it lies on, here too."""
        here = self._place / file.path.name
        try:
            if not here.exists():
                try:
                    os.link(file.path, here)
                except OSError:  # no links there, or too many
                    write_whole(here, file.path.read_bytes())
        except (OSError, EngineError):
            return False
        if file.under is None:
            return True
        self._patches[here.name] = _Patch(under=file.under.path.name, corner=file.corner)
        return self._linked(file.under)


def _underlying(session: Session) -> dict[Held, Held]:
    """For each picture that was made from another of its size, that one."""
    under: dict[Held, Held] = {}
    for variation in session.shown:
        if variation.base is not None and variation.request.task != "generate":
            under[variation.held] = variation.base.held
    for before, moment in zip(session.moments, session.moments[1:], strict=False):
        if moment.source is None:
            under.setdefault(moment.held, moment.made_from or before.held)
    return {held: below for held, below in under.items() if held.size == below.size}


def _patch(image: Image.Image, under: Image.Image) -> tuple[Image.Image, tuple[int, int]] | None:
    """The part of a picture that differs from another, and its corner; None where it is better
    written whole."""
    deep = DEEP in image.info or DEEP in under.info
    if deep or image.mode not in PATCHED or image.mode != under.mode or image.size != under.size:
        return None
    box = _difference(image, under)
    if (box[2] - box[0]) * (box[3] - box[1]) > PART * image.width * image.height:
        return None
    part = image.crop(box)
    part.info = {}
    return part, (box[0], box[1])


def _difference(image: Image.Image, under: Image.Image) -> tuple[int, int, int, int]:
    """Around all pixels in which two pictures differ, (left, top, right, bottom); the first one
    where none does. In strips, for the difference of large ones takes as much memory as they."""
    boxes = []
    for top in range(0, image.height, STRIP):
        strip = (0, top, image.width, min(top + STRIP, image.height))
        two = ImageChops.difference(image.crop(strip), under.crop(strip))
        if box := two.getbbox(alpha_only=False):
            boxes.append((box[0], top + box[1], box[2], top + box[3]))
    if not boxes:
        return 0, 0, 1, 1
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


# ---- reading ------------------------------------------------------------------------------------


class _Place:
    """A session's folder, read as the zip of a project is."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def namelist(self) -> list[str]:
        return [path.name for path in self._folder.iterdir()]

    def getinfo(self, name: str) -> zipfile.ZipInfo:
        if Path(name).name != name:
            raise KeyError(name)
        entry = zipfile.ZipInfo(name)
        entry.file_size = (self._folder / name).stat().st_size
        return entry

    def read(self, entry: zipfile.ZipInfo) -> bytes:
        return (self._folder / entry.filename).read_bytes()


class _Back(Reader):
    """Builds a kept session anew."""

    def __init__(
        self, place: Path, session: Session, known: WeakKeyDictionary[Held, _File]
    ) -> None:
        super().__init__(_Place(place), session, 0)  # type: ignore[arg-type]
        self._place = place
        self._known = known
        self.index = _Index.model_validate_json((place / INDEX).read_bytes())

    def _project(self) -> Project:
        return self.index.project

    def _spend(self, count: int) -> None:
        """All of it was here before."""

    def _picture(self, name: str) -> Held:
        patch = self.index.patches.get(name)
        if name in self._held:
            return self._held[name]
        if patch is None:
            held = super()._picture(name)
            self._known[held] = _File(self._place / name)
            return held
        below = self._picture(patch.under)
        part = Image.open(self._place / name, formats=("PNG",))
        image = below.image.copy()
        image.info = dict(below.image.info)
        image.paste(part, patch.corner)
        held = self._held[name] = self._session.vault.hold(image)
        self._known[held] = _File(self._place / name, self._known[below], patch.corner)
        return held

    def _mask(self, name: str, over: Held) -> Held:
        held = super()._mask(name, over)
        self._known[held] = _File(self._place / name)
        return held

    def marks(self, written: _Marks, over: Held) -> Marks:
        return Marks(
            self._mask(written.mask, over) if written.mask is not None else None,
            tuple(Marked(self._mask(mask, over), *rest) for mask, *rest in written.regions),
        )

    def made_from(self, name: str | None) -> Held | None:
        return self._picture(name) if name is not None else None


def _read(
    place: Path, fresh: Session, known: WeakKeyDictionary[Held, _File]
) -> Session:
    back = _Back(place, fresh, known)
    session, _, _ = back.read()
    index = back.index
    moments = tuple(
        replace(
            moment,
            earlier=tuple(back.marks(each, moment.held) for each in steps.earlier),
            later=tuple(back.marks(each, moment.held) for each in steps.later),
            made_from=back.made_from(steps.made_from),
        )
        for moment, steps in zip(session.moments, index.steps, strict=True)
    )
    runs = list(dict.fromkeys(v.run for v in session.shown))
    shown = {
        run: replace(run, scales=tuple(scales), grown=tuple(grown))
        for run, scales, grown in zip(runs, index.scales, index.grown, strict=False)
    }

    def whole(some: tuple[Variation, ...]) -> tuple[Variation, ...]:
        return tuple(again[v] for v in some)

    again = {
        v: replace(v, run=shown.get(v.run, v.run)) for v in (*session.results, *session.kept)
    }
    return replace(
        session, moments=moments, results=whole(session.results), kept=whole(session.kept),
        version=index.version, looking=index.looking,
    )  # fmt: skip
