"""Project files: a window's whole work in one zip, to go on with another day.

``project.json`` is the ``_Project`` below. Opened files lie in it byte for byte, all other
pictures as PNG (CMYK and deep grey as TIFF, which keeps their bytes; what neither knows, such as
YCbCr, becomes sRGB), masks as PNG of the canvas's proxy.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.moments import Marked, Moment, Run, Variation
from app.session import MAX_REGIONS, Session, stem
from app.vault import Held, HeldBytes
from engine.errors import EngineError
from engine.request import EditRequest, reread
from engine.request.options import MAX_VARIATIONS

SUFFIX = ".varpaint"
FORMAT = "varpaint project"
VERSION = 1
INDEX = "project.json"
MAX_ENTRIES = 20_000
MAX_ENTRY = 1 << 30  # bytes of one file inside, unpacked
MAX_BYTES = 8 << 30  # of all together
MAX_INDEX = 64 << 20
MAX_NOTES = 64  # of one run
TIFF_MODES = ("CMYK", "I", "F", "RGBX")


class ProjectError(EngineError):
    """A file that is no project, or a damaged one."""


class _Schema(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Region(_Schema):
    mask: str
    label: str = Field(max_length=200)
    colour: int = Field(ge=0, lt=MAX_REGIONS)


class _Moment(_Schema):
    caption: str = Field(max_length=400)
    picture: str
    opened: bool = False  # the picture is the file that was opened
    mask: str | None = None
    regions: list[_Region] = Field(default=[], max_length=MAX_REGIONS)
    request: dict[str, Any] | None = None


class _Run(_Schema):
    base: _Moment | None = None
    seconds: float = Field(ge=0)
    count: int = Field(ge=1)
    extension: tuple[int, int, int, int] = (0, 0, 0, 0)
    scores: list[float] = Field(default=[], max_length=MAX_VARIATIONS)
    notes: list[str] = Field(default=[], max_length=MAX_NOTES)


class _Variation(_Schema):
    picture: str
    seed: int
    request: dict[str, Any]
    run: int = Field(ge=0)
    score: float | None = None
    kept: bool = False
    last: bool = True  # of the last run


class _Project(_Schema):
    format: str
    version: int
    name: str = "picture"
    at: int = -1
    chosen: int = 0
    moments: list[_Moment] = Field(default=[], max_length=MAX_ENTRIES)
    runs: list[_Run] = Field(default=[], max_length=MAX_ENTRIES)
    variations: list[_Variation] = Field(default=[], max_length=MAX_ENTRIES)
    fields: dict[str, Any] = {}


def is_project(path: Path) -> bool:
    """Whether a file should be read as a project: by its name, or because it is a zip."""
    return path.suffix.lower() == SUFFIX or zipfile.is_zipfile(path)


# ---- saving -------------------------------------------------------------------------------------


def save(path: Path, session: Session, fields: dict[str, Any]) -> None:
    """Write a session and the form's fields."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        _Writer(file).write(session, fields)


class _Writer:
    """Puts each picture into the zip once, however often it is shown."""

    def __init__(self, file: zipfile.ZipFile) -> None:
        self._file = file
        self._names: dict[Held, str] = {}

    def write(self, session: Session, fields: dict[str, Any]) -> None:
        runs: list[Run] = []
        for variation in session.shown:
            if variation.run not in runs:
                runs.append(variation.run)
        opened = {m.held: m for m in session.moments if m.source is not None}
        for run in runs:
            if run.base is not None and run.base.source is not None:
                opened.setdefault(run.base.held, run.base)
        for moment in opened.values():
            self._source(moment)
        project = _Project(
            format=FORMAT,
            version=VERSION,
            name=session.name,
            at=session.at,
            chosen=session.chosen,
            moments=[self._moment(moment) for moment in session.moments],
            runs=[
                _Run(
                    base=self._moment(run.base) if run.base is not None else None,
                    seconds=run.seconds,
                    count=run.count,
                    extension=run.extension,
                    scores=list(run.scores),
                    notes=list(run.notes),
                )
                for run in runs
            ],
            variations=[
                _Variation(
                    picture=self._picture(v.held, v.request),
                    seed=v.seed,
                    request=v.request.model_dump(exclude_none=True),
                    run=runs.index(v.run),
                    score=v.score,
                    kept=v in session.kept,
                    last=v in session.results,
                )
                for v in session.shown
            ],
            fields=fields,
        )
        text = project.model_dump_json(exclude_none=True, indent=1)
        self._file.writestr(INDEX, text, zipfile.ZIP_DEFLATED)

    def _moment(self, moment: Moment) -> _Moment:
        request = moment.request
        return _Moment(
            caption=moment.caption,
            picture=self._picture(moment.held, request),
            opened=moment.source is not None,
            mask=self._mask(moment.held_mask) if moment.held_mask is not None else None,
            regions=[
                _Region(mask=self._mask(r.held), label=r.label, colour=r.colour)
                for r in moment.regions
            ],
            request=request.model_dump(exclude_none=True) if request is not None else None,
        )

    def _source(self, moment: Moment) -> None:
        """The bytes of the file that was opened."""
        assert moment.source is not None
        data = moment.source.read()
        name = f"opened/{len(self._names):04d}-{stem(moment.caption.removeprefix('Opened '))}"
        self._names[moment.held] = name
        self._file.writestr(name, data)

    def _picture(self, held: Held, request: EditRequest | None) -> str:
        if held not in self._names:
            from engine.picture.files import encode_image, encode_png  # imports torch

            image = held.image
            suffix = ".tiff" if image.mode in TIFF_MODES else ".png"
            name = f"pictures/{len(self._names):04d}{suffix}"
            if suffix == ".png":
                data = encode_png(image, request.to_json() if request is not None else None)
            else:
                data = encode_image(image, suffix)
            self._names[held] = name
            self._file.writestr(name, data)
        return self._names[held]

    def _mask(self, held: Held) -> str:
        if held not in self._names:
            stream = io.BytesIO()
            held.image.convert("1").save(stream, "PNG")
            name = f"masks/{len(self._names):04d}.png"
            self._names[held] = name
            self._file.writestr(name, stream.getvalue())
        return self._names[held]


# ---- opening ------------------------------------------------------------------------------------


def load(path: Path, session: Session) -> tuple[Session, dict[str, Any], tuple[str, ...]]:
    """A project's session, in the place of ``session``, its form's fields, and notes on what of
    its requests is not known any more."""
    try:
        with zipfile.ZipFile(path) as file:
            return _Reader(file, session).read()
    except ProjectError as error:
        raise ProjectError(f"{path.name}: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ProjectError(
            f"{path.name}: is damaged ({where}: {first['msg'].lower()}); use another copy"
        ) from None
    except (
        zipfile.BadZipFile, zlib.error, OSError, KeyError, ValueError, RuntimeError, EngineError
    ) as error:  # RuntimeError: a zip with a password, or packed in a way that Python does not know
        reason = str(error).strip("'").splitlines() or [type(error).__name__]
        raise ProjectError(
            f"{path.name}: is damaged or no varpaint project ({reason[0]}); use another copy"
        ) from None


class _Reader:
    """Builds a session; every picture is read once."""

    def __init__(self, file: zipfile.ZipFile, session: Session) -> None:
        self._file = file
        self._session = session
        self._held: dict[str, Held] = {}
        self._sources: dict[str, HeldBytes] = {}
        self._notes: list[str] = []

    def read(self) -> tuple[Session, dict[str, Any], tuple[str, ...]]:
        if INDEX not in self._file.namelist():
            raise ProjectError(f"is a zip, but no varpaint project; open a {SUFFIX} file")
        if len(self._file.namelist()) > MAX_ENTRIES:
            raise ProjectError(f"holds more than {MAX_ENTRIES} files; use another copy")
        if sum(entry.file_size for entry in self._file.infolist()) > MAX_BYTES:
            raise ProjectError(f"holds more than {MAX_BYTES >> 30} GB; use another copy")
        project = self._project()
        if not -1 <= project.at < len(project.moments) or (project.at < 0) == bool(project.moments):
            raise ProjectError(f"is damaged (no step {project.at}); use another copy")
        moments = tuple(self._moment(moment) for moment in project.moments)
        runs = [self._run(run) for run in project.runs]
        results: list[Variation] = []
        kept: list[Variation] = []
        for one in project.variations:
            if one.run >= len(runs):
                raise ProjectError(f"is damaged (no run {one.run}); use another copy")
            request = self._request(one.request)
            held = self._picture(one.picture)
            variation = Variation(held, one.seed, request, runs[one.run], one.score)
            if one.last:
                results.append(variation)
            if one.kept or not one.last:
                kept.append(variation)
        session = replace(
            self._session,
            name=stem(project.name),
            moments=moments,
            at=project.at,
            results=tuple(results),
            kept=tuple(kept),
            chosen=max(-1, project.chosen),
        )
        return session.remounted(), project.fields, tuple(dict.fromkeys(self._notes))

    def _request(self, written: dict[str, Any]) -> EditRequest:
        """A request of this version or an earlier one; what of it is gone is noted."""
        request, notes = reread(json.dumps(written))
        self._notes += notes
        return request

    def _project(self) -> _Project:
        text = self._bytes(INDEX, MAX_INDEX)
        head = _Head.model_validate_json(text)
        if head.format != FORMAT:
            raise ProjectError(f"is no varpaint project; open a {SUFFIX} file")
        if head.version > VERSION:
            raise ProjectError(
                f"was saved by a newer varpaint (project version {head.version}, this one reads "
                f"{VERSION}); update varpaint"
            )
        return _Project.model_validate_json(text)

    def _bytes(self, name: str, limit: int = MAX_ENTRY) -> bytes:
        entry = self._file.getinfo(name)
        if entry.file_size > limit:
            raise ProjectError(f"is damaged ({name} is too large); use another copy")
        return self._file.read(entry)

    def _moment(self, one: _Moment) -> Moment:
        held = self._picture(one.picture)
        return Moment(
            held,
            one.caption,
            self._mask(one.mask, held) if one.mask is not None else None,
            self._request(one.request) if one.request is not None else None,
            tuple(Marked(self._mask(r.mask, held), r.label, r.colour) for r in one.regions),
            self._source(one.picture) if one.opened else None,
        )

    def _source(self, name: str) -> HeldBytes:
        """The opened file's own bytes; kept once, as pictures are."""
        if name not in self._sources:
            self._sources[name] = self._session.vault.hold_bytes(self._bytes(name))
        return self._sources[name]

    def _run(self, one: _Run) -> Run:
        base = self._moment(one.base) if one.base is not None else None
        scores, notes = tuple(one.scores), tuple(one.notes)
        return Run(base, one.seconds, one.count, one.extension, scores=scores, notes=notes)

    def _picture(self, name: str) -> Held:
        if name not in self._held:
            from engine.picture.files import open_image  # imports torch

            self._held[name] = self._session.vault.hold(open_image(self._bytes(name)))
        return self._held[name]

    def _mask(self, name: str, over: Held) -> Held:
        """A mask of the proxy's size for the picture ``over``."""
        from app.canvas import proxy_size

        if name not in self._held:
            with Image.open(io.BytesIO(self._bytes(name))) as image:
                mask = image.convert("L") if image.size == proxy_size(over.size) else None
            if mask is None:
                raise ProjectError(f"is damaged ({name} does not fit its picture)")
            self._held[name] = self._session.vault.hold(mask)
        return self._held[name]


class _Head(_Schema):
    """What every version of the format has."""

    format: str
    version: int
