"""Pictures and projects that leave the window as files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from app import forms, markup
from app import project as projects
from app.files import told_by_name
from app.moments import Moment, Variation
from app.outbox import new_folder
from app.screens import Screen
from app.session import Session
from app.store import Store
from engine.errors import ImageError, RequestError
from engine.picture.files import write_picture
from engine.picture.opening import CODING

LOSSLESS = 0  # the quality that stands for it
FORMATS: dict[str, tuple[str, int | None]] = {  # suffix, quality; None for as good as the source
    "PNG": (".png", None),
    "JPEG (best)": (".jpg", None),
    "JPEG (small)": (".jpg", 82),
    "WebP (lossless)": (".webp", LOSSLESS),
    "WebP (small)": (".webp", 82),
}


class Saving:
    """The callbacks of Download and Save project."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def picture(self, form: str, session: Session, seen: str = "") -> Iterator[Screen]:
        """What the canvas shows, at full resolution: the picture, or the variation that the page
        has laid over it (``seen`` "1", "0" if it has not, empty where that is not known). PNG holds
        the request."""
        if form not in FORMATS:
            raise RequestError(f"unknown format {form!r}; known: {', '.join(FORMATS)}")
        yield {"status": markup.status("Writing the file …", "busy")}
        chosen = to_save(session, session.looking if seen == "" else seen == "1")
        request = chosen.request
        seed = f"-{request.task}-{request.options.seed}" if request is not None else ""
        suffix, quality = FORMATS[form]
        image = chosen.image
        path = new_folder() / f"{session.name}{seed}{suffix}"
        said = dict(image.info)
        if suffix == ".jpg" and quality is None:  # all of the colours: the edit may have new ones
            said[CODING] = {**said.get(CODING, {}), "subsampling": 0}
        elif quality == LOSSLESS:
            said[CODING], quality = {"lossless": True}, None
        saved = image.copy()
        saved.info = said
        with told_by_name(path):
            notes = write_picture(
                path, saved, request.to_json() if request else None, quality=quality
            )
        megabytes = path.stat().st_size / 1e6
        detail = "; ".join([f"{image.width} × {image.height}, {megabytes:.1f} MB", *notes])
        yield {"file": str(path), "status": markup.status("Saved.", "done", detail)}

    def project(
        self,
        painted: str,
        session: Session,
        task: str,
        label: str | None,
        model: str | None,
        **fields: Any,
    ) -> Iterator[Screen]:
        """History, masks, requests and results in one file, to go on with another day."""
        with self._store.turn(session) as newest:
            session = forms.remembered(painted, newest)
            self._store.put(session)
        fields |= {"task": task, "label": label, "model": model}
        yield {"status": markup.status("Writing the project …", "busy")}
        path = new_folder() / f"{session.name}{projects.SUFFIX}"
        projects.save(path, session, fields)
        detail = f"{path.stat().st_size / 1e6:.1f} MB"
        yield {"file": str(path), "status": markup.status("The project is saved.", "done", detail)}


def to_save(session: Session, looking: bool) -> Moment | Variation:
    """The picture on the canvas; the chosen variation where that is looked at, or is all there
    is."""
    outcome, current = session.outcome, session.current
    if outcome is not None and (looking or current is None):
        return outcome
    if current is None:
        raise ImageError("there is no picture yet; open one or generate one")
    return current
