"""A session in a folder: an index, and its pictures, each written once.

A result differs from the picture that it was made from by what was painted, so only that part of it
is written. What a session takes over from another, as after a refresh, is linked, not copied. The
index is written last and whole: at whatever moment a server is killed, it names files that are
there.
"""

from __future__ import annotations

import os
import secrets
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from PIL import Image, ImageChops
from pydantic import BaseModel

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
STRIP = 256  # rows that are compared at a time
PATCHED = ("L", "LA", "RGB", "RGBA")  # modes that a PNG holds as they are


@dataclass(frozen=True)
class File:
    """A picture on disk; where it is a patch, the file of what it lies on, and its corner."""

    path: Path
    under: File | None = None
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


Files = WeakKeyDictionary[Held, File]
"""Where pictures lie that were written, or read, by this server."""


def write(place: Path, session: Session, known: Files) -> None:
    """Write a session into a folder of its own; what is there already stays, as far as it needs it.
    """
    writer = _Folder(place, session, known)
    writer.write(session, {})
    writer.finish()


# ---- writing ------------------------------------------------------------------------------------


class _Folder(Writer):
    """Writes a session into its folder: what is there already stays."""

    def __init__(self, place: Path, session: Session, known: Files):
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

    def _encoded(self, held: Held) -> tuple[bytes, File | None, str]:
        """A picture as a patch on another where that is smaller, else whole."""
        image, under = held.image, self._under.get(held)
        if under is not None:
            name = self._picture(under, None)
            patch = _patch(image, under.image)
            below = self._known[under]
            if patch is not None and below.depth < SHORT:
                part, corner = patch
                return encode_png(part), File(self._place / name, below.under, corner), ".png"
        if image.mode in PATCHED or DEEP in image.info:
            return encode_png(image), None, ".png"
        return encode_image(image, ".tiff" if image.mode != "P" else ".png"), None, ".png"

    def _stored(
        self, held: Held, encoded: Callable[[], tuple[bytes, File | None, str]]
    ) -> str:
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
        self._known[held] = File(path, under, corner)
        return path.name

    def _linked(self, file: File) -> bool:
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
        self, place: Path, session: Session, known: Files
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
            self._known[held] = File(self._place / name)
            return held
        below = self._picture(patch.under)
        part = Image.open(self._place / name, formats=("PNG",))
        image = below.image.copy()
        image.info = dict(below.image.info)
        image.paste(part, patch.corner)
        held = self._held[name] = self._session.vault.hold(image)
        self._known[held] = File(self._place / name, self._known[below], patch.corner)
        return held

    def _mask(self, name: str, over: Held) -> Held:
        held = super()._mask(name, over)
        self._known[held] = File(self._place / name)
        return held

    def marks(self, written: _Marks, over: Held) -> Marks:
        return Marks(
            self._mask(written.mask, over) if written.mask is not None else None,
            tuple(
                Marked(self._mask(mask, over), label, colour)
                for mask, label, colour in written.regions
            ),
        )

    def made_from(self, name: str | None) -> Held | None:
        return self._picture(name) if name is not None else None


def read(place: Path, fresh: Session, known: Files) -> Session:
    """The session of a folder, in the place of ``fresh``. Raises EngineError, OSError, ValueError
    or LookupError for one that is damaged."""
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
