"""What the window does: plain functions from values to screens, testable without a browser.

Mistakes are raised as ``EngineError`` and put into words in one place, app/words.py.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from app import classes, files, forms, markup, project, screens
from app.backend import Backend
from app.classes import Named
from app.downloads import Downloads
from app.fields import BY_SCALES
from app.forms import NEED_LABEL
from app.kept import Kept
from app.limits import USUAL, Limits
from app.masks import Masks
from app.runs import Runs
from app.saving import FORMATS, Saving
from app.screens import Screen, hint
from app.session import Session
from app.shelf import Shelf
from app.store import Store
from app.vault import Vault
from engine.errors import EngineError, ImageError
from engine.picture.files import read_request
from engine.request import SIDES

ASPECTS = {"1:1": 1 / 1, "4:3": 4 / 3, "3:2": 3 / 2, "16:9": 16 / 9, "9:16": 9 / 16}


class Handlers:
    """The callbacks. Holds the backend and what runs on them; a window's work is in its session."""

    def __init__(
        self, backend: Backend, limits: Limits = USUAL, downloads: Downloads | None = None,
        kept: Kept | None = None,
    ) -> None:  # fmt: skip
        self.backend = backend
        self.shelf = Shelf(backend, downloads)
        self.vault = Vault(limits.history)
        self.store = Store(disk=kept)
        self.runs = Runs(backend, self.store)
        self.masks = Masks()
        self.saving = Saving(self.store)

    # ---- the window opens -------------------------------------------------------------------

    def opened(self, recalled: Any = None) -> Iterator[Screen]:
        """A new page: what it recalls of an earlier one comes back (see varpaint.recall in
        assets/memory.js). Offer the models and, as soon as one is loaded, its classes."""
        recalled = recalled if isinstance(recalled, dict) else {}
        fields = forms.kept_fields(recalled.get("fields"))
        task, label, model = (fields.pop(name, None) for name in ("task", "label", "model"))
        task = task or "inpaint"
        if fields.get("format") not in FORMATS:
            fields.pop("format", None)
        key = str(recalled.get("key") or "")
        session = self.store.begun(key, Session(vault=self.vault))
        session = forms.recalled_mask(session, recalled.get("mask"), recalled.get("version"))
        screen: Screen = {"session": session, "key": markup.key(session.key), "task": task,
                          **fields, **self._task_screen(task)}  # fmt: skip
        if session.current is not None or session.outcome is not None:
            session = session.remounted()
            screen |= {**screens.of_session(session), **screens.of_result(session)}
        else:
            screen["offer"] = self._offer(recalled)
        offer = self.shelf.offer(model)
        model = model if offer is not None and offer.present else None
        if not self.backend.ready(model):
            text = "The model is loading; you can open a picture already."
            yield {**screen, "status": markup.status(text, "busy")}
            screen = {}
        # else in one go: the new task asks for its classes at once, and must find the one chosen
        card = self.backend.card(model)
        goes_on = self.runs.goes_on(key)
        if goes_on:
            screen["status"] = markup.status("Your run goes on …", "busy")
        elif screen or self.store.latest(session) is session:  # else it says more than this
            screen["status"] = markup.status(hint(session, task))
        yield {
            **screen,
            **self._model_screen(card.name, screen),
            "label": self._label_update(task, label, card.labels),
        }
        taken = False
        for news in self.runs.resume(key, session):
            taken = taken or bool(news)
            yield news
        if goes_on and not taken:  # another window shows it
            yield {"status": markup.status(hint(session, task))}

    def _offer(self, recalled: dict[str, Any]) -> str:
        """What a page without a picture is told of earlier work: that it is gone from here, or that
        it can be gone on with."""
        if recalled.get("had"):
            return markup.lost()
        glance = self.store.glance(str(recalled.get("last") or ""))
        return markup.go_on(glance.name, glance.steps, glance.then) if glance is not None else ""

    def model_changed(
        self, model: str | None, using: str, task: str, label: str | None
    ) -> Iterator[Screen]:
        """Load another model; its classes replace the old one's. For one that is not here, the
        dialog of the models opens at it, and the one in use stays."""
        offer = self.shelf.offer(model)
        if offer is not None and not offer.present:
            text = f"{offer.title} is not here yet."
            yield {
                **({"model": gr.update(value=using)} if using else {}),
                **self.shelf.screen(using, opened=f"{offer.name} {secrets.token_hex(4)}"),
                "status": markup.status(text),
            }
            return
        yield from self._load(str(model), using, task, label)

    def models(self, what: str, using: str, task: str, label: str | None) -> Iterator[Screen]:
        """A button of the models' dialog, or a look at how far a download is."""
        yield from self.shelf.asked(what, using, lambda name: self._load(name, using, task, label))

    def _load(self, model: str, using: str, task: str, label: str | None) -> Iterator[Screen]:
        offer = self.shelf.offer(model)
        title = offer.title if offer else model
        yield {"status": markup.status(f"Loading {title} …", "busy")}
        try:
            card = self.backend.load(model)
        except EngineError as error:
            yield {"model": gr.update(value=using or self.backend.chosen)}
            raise EngineError(str(error)) from error  # not of the one that the form shows again
        yield {
            **self._model_screen(card.name),
            "label": self._label_update(task, label, card.labels),
            "status": markup.status(f"{title} is ready.", "done"),
        }

    def _model_screen(self, name: str, recalled: Screen | None = None) -> Screen:
        """What the page shows of a model; ``recalled``: values of fields that go with it."""
        offer = self.shelf.offer(name)
        card = self.backend.card(name)
        detail = f"{card.side} px"
        if offer and offer.bytes:
            detail += f", {offer.bytes / 1e6:.0f} MB"
        about = card.about or (offer.about if offer else "")
        note = markup.model_note(offer.title if offer else name, about, detail)
        count = len(card.scales)
        keeps = _how_alike(count)
        values = {name: {"value": value} for name, value in (recalled or {}).items()}
        more = gr.update(choices=keeps, value=keeps[(len(keeps) - 1) // 2][1])
        return {
            **self.shelf.screen(name),
            "model": gr.update(choices=self.shelf.choices(), value=name),
            "model-note": note,
            "using": name,
            "more-scales": more,
            **{field: gr.update(maximum=count, **values.get(field, {})) for field in BY_SCALES},
        }

    def _label_update(self, task: str, label: int | str | None, labels: Named) -> Any:
        choices = [(classes.NO_CLASS, ""), *classes.listed(labels)]
        value = classes.known(labels, label)
        return gr.update(choices=choices, label=_class_title(task), value=value)

    def task_changed(
        self, task: str, label: str | None, how: str, model: str | None, session: Session
    ) -> Iterator[Screen]:
        """Show what the task needs. The class is set where ``how`` is "set"; else the list keeps
        what is chosen on the page, for that may be newer than this event. Its entries are the same
        for each task: somebody may just be searching them. "quiet" where no hand chose the task:
        what the status says then, stays."""
        screen = self._task_screen(task)
        if how != "quiet":
            screen["status"] = markup.status(hint(session, task))
        if self.backend.ready(model):
            known = classes.known(self.backend.card(model).labels, label)
            value = {"value": known} if how == "set" else {}
            screen["label"] = gr.update(label=_class_title(task), **value)
        yield screen

    def _task_screen(self, task: str) -> Screen:
        return {
            "sides": gr.update(visible=task == "outpaint"),
            "region-box": gr.update(visible=task == "edit_class"),
        }

    # ---- pictures come in -------------------------------------------------------------------

    def open_picture(
        self,
        file: str | None,
        painted: str,
        task: str,
        session: Session,
        model: str | None = None,
    ) -> Iterator[Screen]:
        """A file from the button, a drop, a paste or an example becomes the picture. A project
        brings its history, a PNG saved by varpaint its settings."""
        if file is None:
            raise ImageError("no file arrived; open a PNG, JPEG, WebP or a project")
        path = Path(file)
        if project.is_project(path):
            yield from self._open_project(path, session, model)
            return
        image, data = _open(file)
        self.runs.drop(session)
        session = forms.remembered(painted, session).opened(image, path.name, data)
        width, height = image.size
        fields, text = self._settings_of(image, model)
        brought = bool(fields)
        if task == "generate":  # its class was for a new picture
            fields = {"label": "", **fields}
        task = fields.pop("task", "inpaint" if task == "generate" else task)
        yield {
            **screens.of_session(session),
            **screens.of_result(session),
            **screens.idle(),
            **fields,
            "task": task,
            "open": None,
            "leave-settings": gr.update(visible=brought),
            "status": markup.status(
                text or hint(session, task), "idle", f"{width} × {height}"
            ),
        }

    def _settings_of(self, image: Image.Image, model: str | None) -> tuple[Screen, str]:
        """The fields that made this picture, if it says so, and a word about them. ``model`` is
        the one whose classes are listed."""
        text = read_request(image)
        request, notes = forms.parsed(text) if text is not None else (None, ())
        if request is None or request.task == "generate":
            return {}, ""
        fields = forms.fields_of(request)
        says = f"Opened with the settings that made it: {forms.in_words(request)}."
        if self.backend.ready(model):
            labels = self.backend.card(model).labels
            fields["label"] = self._label_update(request.task, fields["label"], labels)
        else:
            del fields["label"]
        return fields, _with_notes(says, notes)

    def leave_settings(self, task: str, model: str | None, session: Session) -> Iterator[Screen]:
        """The usual settings in the place of those that an opened picture brought."""
        screen: Screen = {**forms.usual(), "leave-settings": gr.update(visible=False)}
        if self.backend.ready(model):
            screen["label"] = self._label_update(task, "", self.backend.card(model).labels)
        yield {**screen, "status": markup.status("The usual settings. " + hint(session, task))}

    def _open_project(
        self, path: Path, session: Session, model: str | None
    ) -> Iterator[Screen]:
        yield {"status": markup.status("Opening the project …", "busy")}
        loaded, fields, notes = project.load(path, session)
        self.runs.drop(session)
        fields = forms.kept_fields(fields)
        fields.pop("model", None)
        task = fields.pop("task", "inpaint")
        label = fields.pop("label", None)
        screen: Screen = {}
        if self.backend.ready(model):
            labels = self.backend.card(model).labels
            screen["label"] = self._label_update(task, label, labels)
        count = len(loaded.moments)
        steps = "1 step" if count == 1 else f"{count} steps"
        yield {
            **screens.of_session(loaded),
            **screens.of_result(loaded),
            **screens.idle(),
            **fields,
            **screen,
            **self._task_screen(task),
            "task": task,
            "open": None,
            "status": markup.status(_with_notes(f"The project is open, {steps}.", notes), "done"),
        }

    # ---- results ----------------------------------------------------------------------------

    def choose(self, index: int, session: Session) -> Iterator[Screen]:
        """A click on a variation."""
        session = session.chose(index)
        yield {"session": session, **screens.of_result(session, gallery=False)}

    def keep(self, session: Session) -> Iterator[Screen]:
        """The chosen variation stays when the next run replaces the others; or no longer."""
        session = session.toggled()
        kept = session.outcome in session.kept
        text = "Kept beyond the next run." if kept else "No longer kept."
        yield {
            "session": session,
            **screens.of_result(session),
            "status": markup.status(text, "done"),
        }

    def use(self, task: str, painted: str, session: Session) -> Iterator[Screen]:
        """The chosen variation becomes the picture."""
        session = forms.remembered(painted, session).used()
        sides = {f"extend-{side}": "" for side in SIDES}
        new = {"task": "inpaint", "label": ""} if task == "generate" else {"task": task}
        yield {
            **screens.of_session(session),
            **sides,
            **new,
            "status": markup.status("Used. Go on editing, or undo.", "done"),
        }

    def undo(self, painted: str, session: Session) -> Iterator[Screen]:
        session = forms.remembered(painted, session).undone()
        yield {**screens.of_session(session), "status": markup.status("Undone.")}

    def redo(self, painted: str, session: Session) -> Iterator[Screen]:
        session = forms.remembered(painted, session).redone()
        yield {**screens.of_session(session), "status": markup.status("Redone.")}

    def jump(self, index: int, painted: str, session: Session) -> Iterator[Screen]:
        """A click on the history."""
        if index != session.at:
            session = forms.remembered(painted, session).jumped(index)
            caption = session.moments[index].caption
            yield {**screens.of_session(session), "status": markup.status(f"Back at: {caption}.")}

    def again(self, session: Session) -> Iterator[Screen]:
        """Keep the last seed, to change something else about the same picture."""
        yield {"seed": str(session.result.seed)}

    def aspect(self, ratio: str, session: Session) -> Iterator[Screen]:
        """Margins that give the picture this aspect, the same on both sides."""
        width, height = session.picture.image.size
        left, right, top, bottom = aspect_margins(width, height, ASPECTS[ratio])
        text = "The picture has that shape already." if not any((left, right, top, bottom)) else (
            f"Extends to {width + left + right} × {height + top + bottom}. Press Run."
        )
        yield {
            "extend-left": str(left or ""),
            "extend-right": str(right or ""),
            "extend-top": str(top or ""),
            "extend-bottom": str(bottom or ""),
            "status": markup.status(text),
        }


def _class_title(task: str) -> str:
    return "Class" if task in NEED_LABEL else "Class (optional)"


def _how_alike(count: int) -> list[tuple[str, int]]:
    """What "more like this" may keep of a model's scales, in words: (text, scales kept)."""
    parts = {"Other shapes, same idea": 1 / 5, "Same shapes, other parts": 2 / 5,
             "Same parts, other details": 7 / 10}  # fmt: skip
    words: dict[int, str] = {}
    for text, part in parts.items():
        words.setdefault(max(1, min(count - 1, round(part * count))), text)
    return [(text, kept) for kept, text in words.items()]


def aspect_margins(width: int, height: int, ratio: float) -> tuple[int, int, int, int]:
    """(left, right, top, bottom) that extend width x height to ``ratio``, never cropping."""
    wide, high = max(width, round(height * ratio)), max(height, round(width / ratio))
    if wide > width:
        return (wide - width) // 2, (wide - width + 1) // 2, 0, 0
    return 0, 0, (high - height) // 2, (high - height + 1) // 2


def _with_notes(text: str, notes: Sequence[str]) -> str:
    """A word about what was opened, and about what of it is not known any more."""
    return " ".join([text, *(f"{note[:1].upper()}{note[1:]}." for note in notes)])


def _open(file: str) -> tuple[Image.Image, bytes]:
    """A picture file and its bytes."""
    return files.opened(file), Path(file).read_bytes()
