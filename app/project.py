"""Project files: a window's whole work in one zip, to go on with another day.

``project.json`` is the ``Project`` below. Opened files lie in it byte for byte, all other
pictures as PNG (CMYK and deep grey as TIFF, which keeps their bytes; what neither knows, such as
YCbCr, becomes sRGB), masks as PNG of the canvas's proxy.
"""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.moments import Marked, Moment, Run, Variation
from app.session import MAX_REGIONS, Session, stem
from app.vault import Held, HeldBytes
from engine.errors import EngineError
from engine.picture.files import encode_image, encode_png, open_image
from engine.picture.opening import size_in
from engine.picture.saving import whole
from engine.request import EditRequest, reread
from engine.request.options import MAX_VARIATIONS
from engine.request.pictures import check_size

SUFFIX = ".varpaint"
FORMAT = "varpaint project"
VERSION = 1
INDEX = "project.json"
MAX_ENTRIES = 20_000
MAX_MOMENTS = 4_000  # steps of a history
MAX_VARIATIONS_KEPT = 2_000  # and runs
MAX_ENTRY = 1 << 30  # bytes of one file inside, unpacked
MAX_INDEX = 8 << 20
MAX_LISTED = 4 << 20  # bytes of the zip's own list of its files
MAX_NOTES = 64  # of one run
LEAST_BUDGET = 512 << 20  # bytes of pictures and files that any project may unpack to ...
SWELLING = 100  # ... or so many times the bytes that it has itself, if that is more ...
MOST_BUDGET = 16 << 30  # ... but no more than this, or half of what the disk has left
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


class Project(_Schema):
    format: str
    version: int
    name: str = "picture"
    at: int = -1
    chosen: int = 0
    moments: list[_Moment] = Field(default=[], max_length=MAX_MOMENTS)
    runs: list[_Run] = Field(default=[], max_length=MAX_VARIATIONS_KEPT)
    variations: list[_Variation] = Field(default=[], max_length=MAX_VARIATIONS_KEPT)
    fields: dict[str, Any] = {}


def is_project(path: Path) -> bool:
    """Whether a file should be read as a project: by its name, or because it is a zip."""
    return path.suffix.lower() == SUFFIX or zipfile.is_zipfile(path)


# ---- saving -------------------------------------------------------------------------------------


def save(path: Path, session: Session, fields: dict[str, Any]) -> None:
    """Write a session and the form's fields, whole or not at all."""
    for many, most, what in (
        (session.moments, MAX_MOMENTS, "steps"), (session.shown, MAX_VARIATIONS_KEPT, "variations"),
    ):  # fmt: skip
        if len(many) > most:
            raise ProjectError(f"{len(many)} {what} are more than the {most} that a project holds")
    try:
        with whole(path) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as file:
            Writer(file).write(session, fields)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ProjectError(f"the project cannot be written ({reason}); make room first") from None


class Writer:
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
        project = Project(
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
        _require_short_list(path)
        with zipfile.ZipFile(path) as file:
            return Reader(file, session, path.stat().st_size).read()
    except ProjectError as error:
        raise ProjectError(f"{path.name}: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ProjectError(
            f"{path.name}: is damaged ({where}: {first['msg'].lower()}); use another copy"
        ) from None
    except Exception as error:  # the readers of zips and pictures raise anything
        reason = " ".join(str(error).strip("'").split())[:160] or type(error).__name__
        raise ProjectError(
            f"{path.name}: is damaged or no varpaint project ({reason}); use another copy"
        ) from None


def _require_short_list(path: Path) -> None:
    """Look at how many files a zip says that it holds: they are all listed in memory."""
    with path.open("rb") as file:
        end = zipfile._EndRecData(file)  # type: ignore[attr-defined]  # as its reader will see it
    if end is not None and (end[4] > MAX_ENTRIES or end[5] > MAX_LISTED):
        raise ProjectError(f"holds more than {MAX_ENTRIES} files; use another copy")


class Reader:
    """Builds a session; every picture is read once. ``size`` is that of the project's file: what it
    unpacks to is bounded by that, and by the disk."""

    def __init__(self, file: zipfile.ZipFile, session: Session, size: int) -> None:
        self._file = file
        free = shutil.disk_usage(session.vault.home).free
        self._budget = min(max(LEAST_BUDGET, SWELLING * size), MOST_BUDGET, free // 2)
        self._session = session
        self._held: dict[str, Held] = {}
        self._sources: dict[str, HeldBytes] = {}
        self._notes: list[str] = []

    def read(self) -> tuple[Session, dict[str, Any], tuple[str, ...]]:
        names = self._file.namelist()
        if INDEX not in names:
            raise ProjectError(f"is a zip, but no varpaint project; open a {SUFFIX} file")
        if len(names) > MAX_ENTRIES:  # more than its end said
            raise ProjectError(f"holds more than {MAX_ENTRIES} files; use another copy")
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

    def _project(self) -> Project:
        text = self._bytes(INDEX, MAX_INDEX)
        head = _Head.model_validate_json(text)
        if head.format != FORMAT:
            raise ProjectError(f"is no varpaint project; open a {SUFFIX} file")
        if head.version > VERSION:
            raise ProjectError(
                f"was saved by a newer varpaint (project version {head.version}, this one reads "
                f"{VERSION}); update varpaint"
            )
        return Project.model_validate_json(text)

    def _bytes(self, name: str, limit: int = MAX_ENTRY) -> bytes:
        """A file inside; no more of it is unpacked than it says that it holds."""
        entry = self._file.getinfo(name)
        if entry.file_size > limit:
            raise ProjectError(f"is damaged ({name} is too large); use another copy")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ProjectError(f"{name} is packed in a way that is not read; use another copy")
        self._spend(entry.file_size)
        return self._file.read(entry)

    def _picture_bytes(self, name: str) -> tuple[bytes, tuple[int, int]]:
        """The bytes of a picture inside, and its size; what it unpacks to is paid for."""
        data = self._bytes(name)
        size = size_in(data)
        if size is None:
            raise ProjectError(f"is damaged ({name} is no picture)")
        check_size(size, name)
        self._spend(size[0] * size[1] * 4)
        return data, size

    def _spend(self, count: int) -> None:
        self._budget -= count
        if self._budget < 0:
            raise ProjectError(
                "unpacks to more than its own size and the disk's allow; free some space, or save "
                "the project anew with fewer steps"
            )

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
            data, _ = self._picture_bytes(name)
            self._held[name] = self._session.vault.hold(open_image(data))
        return self._held[name]

    def _mask(self, name: str, over: Held) -> Held:
        """A mask of the proxy's size for the picture ``over``."""
        from app.canvas import proxy_size

        if name not in self._held:
            data, size = self._picture_bytes(name)
            if size != proxy_size(over.size):
                raise ProjectError(f"is damaged ({name} does not fit its picture)")
            self._held[name] = self._session.vault.hold(open_image(data).convert("L"))
        return self._held[name]


class _Head(_Schema):
    """What every version of the format has."""

    format: str
    version: int
