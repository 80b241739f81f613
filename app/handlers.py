"""What the window does: plain functions from values to screens, testable without a browser.

Mistakes are raised as ``EngineError`` and put into words in one place, ``in_words``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from app import canvas, markup, screens
from app.models import Models, Offer
from app.outbox import new_folder
from app.runs import NEED_LABEL, Runs, read_painted
from app.screens import Screen, hint
from app.session import Session
from engine.errors import EngineError, ImageError, MaskError, RequestError
from engine.request import SIDES

log = logging.getLogger("varpaint")

FORMATS = {"PNG": ".png", "JPEG": ".jpg", "WebP": ".webp"}
ASPECTS = {"1:1": 1 / 1, "4:3": 4 / 3, "3:2": 3 / 2, "16:9": 16 / 9, "9:16": 9 / 16}


def in_words(handler: Callable[..., Iterator[Screen]]) -> Callable[..., Iterator[Screen]]:
    """The one place where errors become words: in the status line, and as a toast.

    A mistake of the user's is told as it is; anything else goes to the log with its traceback and
    to the page without.
    """

    def safe(*args: Any, **kwargs: Any) -> Iterator[Screen]:
        try:
            yield from handler(*args, **kwargs)
        except EngineError as error:
            words = str(error)
        except gr.Error:
            raise
        except Exception as error:
            log.exception("a handler failed")
            words = f"something broke inside varpaint ({type(error).__name__}); the log has more"
        else:
            return
        if words.split(maxsplit=1)[0].rstrip(":,;").isalpha():  # not a file's name
            words = words[:1].upper() + words[1:]
        yield {"status": markup.status(words, "error"), **screens.idle()}
        raise gr.Error(escape(words, quote=False), duration=6, print_exception=False)

    return safe


class Handlers:
    """The callbacks. Holds the models and what runs on them; a window's work is in its session."""

    def __init__(self, models: Models) -> None:
        self.models = models
        self.runs = Runs(models)

    # ---- the window opens -------------------------------------------------------------------

    def opened(self, task: str) -> Iterator[Screen]:
        """Offer the models and, as soon as one is loaded, its classes."""
        if not self.models.ready():
            text = "The model is loading; you can open a picture already."
            yield {"status": markup.status(text, "busy")}
        editor = self.models.editor(None)
        yield {
            **self._model_screen(editor.name),
            "label": self._label_update(task, None, editor.labels),
            "status": markup.status(hint(Session(), task)),
        }

    def model_changed(self, model: str | None, task: str, label: str | None) -> Iterator[Screen]:
        """Load another model; its classes replace the old one's."""
        offer = self._offer(model)
        title = offer.title if offer else str(model)
        yield {"status": markup.status(f"Loading {title} …", "busy")}
        try:
            editor = self.models.editor(model)
        except EngineError:
            yield {"model": gr.update(value=self.models.chosen)}
            raise
        yield {
            **self._model_screen(editor.name),
            "label": self._label_update(task, label, editor.labels),
            "status": markup.status(f"{title} is ready.", "done"),
        }

    def _offer(self, name: str | None) -> Offer | None:
        return next((offer for offer in self.models.offers() if offer.name == name), None)

    def _model_screen(self, name: str) -> Screen:
        offers = self.models.offers()
        choices = [(o.title if o.present else f"{o.title} · not here yet", o.name) for o in offers]
        offer = self._offer(name)
        editor = self.models.editor(name)
        detail = f"{editor.side} px"
        if offer and offer.bytes:
            detail += f", {offer.bytes / 1e6:.0f} MB"
        about = editor.about or (offer.about if offer else "")
        note = markup.model_note(offer.title if offer else name, about, detail)
        return {"model": gr.update(choices=choices, value=name), "model-note": note}

    def _label_update(self, task: str, label: str | None, labels: list[str]) -> Any:
        none = "Choose a class …" if task in NEED_LABEL else "No class: follow the surroundings"
        choices = [(none, ""), *((name, name) for name in labels)]
        value = label if label in labels else ""
        title = "Class" if task in NEED_LABEL else "Class (optional)"
        return gr.update(choices=choices, value=value, label=title)

    def task_changed(
        self, task: str, label: str | None, model: str | None, session: Session
    ) -> Iterator[Screen]:
        """Show what the task needs."""
        screen: Screen = {
            "sides": gr.update(visible=task == "outpaint"),
            "status": markup.status(hint(session, task)),
        }
        if self.models.ready():
            labels = self.models.editor(model).labels
            screen["label"] = self._label_update(task, label, labels)
        yield screen

    # ---- pictures come in -------------------------------------------------------------------

    def open_picture(self, file: str | None, task: str, session: Session) -> Iterator[Screen]:
        """A file from the button, a drop, a paste or an example becomes the picture."""
        if file is None:
            raise ImageError("no file arrived; open a PNG, JPEG or WebP")
        yield from self._take(_open(file), Path(file).name, task, session)

    def _take(self, image: Image.Image, name: str, task: str, session: Session) -> Iterator[Screen]:
        session = session.opened(image, name)
        if task == "generate":
            task = "inpaint"
        width, height = image.size
        detail = f"{width} × {height}"
        yield {
            **screens.of_session(session),
            **screens.of_result(session),
            "task": task,
            "open": None,
            "status": markup.status(hint(session, task), "idle", detail),
        }

    # ---- the mask ---------------------------------------------------------------------------

    def change_mask(self, how: str, canvas_layers: list[str], session: Session) -> Iterator[Screen]:
        """Clear, invert, grow or shrink what is painted."""
        moment = session.picture
        size = canvas.proxy_size(moment.image.size)
        mask = None if how == "clear" else canvas.read_mask(canvas_layers, size)
        after = canvas.changed(mask, size, how)
        yield self._mask_screen(session.masked(after).remounted(), f"Mask: {how}.")

    def last_mask(self, session: Session) -> Iterator[Screen]:
        """Paint the mask of the last run again."""
        outcome = session.outcome
        moment = session.picture
        if outcome is None or outcome.base < 0:
            raise MaskError("there is no earlier mask; paint one and press Run")
        mask = session.moments[outcome.base].mask
        size = canvas.proxy_size(moment.image.size)
        if mask is None:
            raise MaskError("the last run had no mask")
        if mask.size != size:
            raise MaskError("the last mask is of another size than this picture")
        yield self._mask_screen(session.masked(mask).remounted(), "The last mask is back.")

    def import_mask(self, file: str | None, session: Session) -> Iterator[Screen]:
        """A mask from a file."""
        moment = session.picture
        if file is None:
            raise MaskError("no file arrived; use a black and white picture")
        size = canvas.proxy_size(moment.image.size)
        mask = canvas.imported(file, moment.image.size, size)
        screen = self._mask_screen(session.masked(mask).remounted(), "Mask taken from the file.")
        yield {**screen, "import-mask": None}

    def export_mask(self, canvas_layers: list[str], session: Session) -> Iterator[Screen]:
        """The mask as a black and white PNG of the picture's own size."""
        mask = read_painted(canvas_layers, session, required=True)
        assert mask is not None
        full = canvas.full_size(mask, session.picture.image.size)
        path = new_folder() / f"{session.name}-mask.png"
        full.save(path, "PNG")
        yield {"file": str(path), "status": markup.status("The mask is saved.", "done")}

    def _mask_screen(self, session: Session, text: str) -> Screen:
        return {**screens.of_session(session), "status": markup.status(text)}

    def choose(self, index: int, session: Session) -> Iterator[Screen]:
        """A click on a variation."""
        session = session.chose(index)
        yield {"session": session, **screens.of_result(session, gallery=False)}

    def use(self, task: str, session: Session) -> Iterator[Screen]:
        """The chosen variation becomes the picture."""
        session = session.used()
        if task == "generate":
            task = "inpaint"
        sides = {f"extend-{side}": "" for side in SIDES}
        yield {
            **screens.of_session(session),
            **sides,
            "task": task,
            "status": markup.status("Used. Go on editing, or undo.", "done"),
        }

    def undo(self, session: Session) -> Iterator[Screen]:
        session = session.undone()
        yield {**screens.of_session(session), "status": markup.status("Undone.")}

    def redo(self, session: Session) -> Iterator[Screen]:
        session = session.redone()
        yield {**screens.of_session(session), "status": markup.status("Redone.")}

    def jump(self, index: int, session: Session) -> Iterator[Screen]:
        """A click on the history."""
        if index != session.at:
            session = session.jumped(index)
            caption = session.moments[index].caption
            yield {**screens.of_session(session), "status": markup.status(f"Back at: {caption}.")}

    def again(self, session: Session) -> Iterator[Screen]:
        """Keep the last seed, to change something else about the same picture."""
        if session.outcome is None:
            raise RequestError("there is no result yet; press Run first")
        yield {"seed": gr.update(value=str(session.outcome.seed))}

    def download(self, form: str, session: Session) -> Iterator[Screen]:
        """The chosen variation, or else the picture, at full resolution; PNG holds the request."""
        if form not in FORMATS:
            raise RequestError(f"unknown format {form!r}; known: {', '.join(FORMATS)}")
        yield {"status": markup.status("Writing the file …", "busy")}
        outcome, current = session.outcome, session.current
        suffix = FORMATS[form]
        if outcome is not None and (current is None or current.image is not outcome.image):
            image, request = outcome.image, outcome.request
        elif current is not None:
            image, request = current.image, current.request
        else:
            raise ImageError("there is no picture yet; open one or generate one")
        seed = f"-{request.task}-{request.options.seed}" if request is not None else ""
        path = new_folder() / f"{session.name}{seed}{suffix}"
        if form == "PNG" and outcome is not None and image is outcome.image:
            path.write_bytes(outcome.result.png(outcome.chosen))
        else:
            from engine.pixels import encode_image  # imports torch

            path.write_bytes(encode_image(image, suffix, request.to_json() if request else None))
        megabytes = path.stat().st_size / 1e6
        detail = f"{image.width} × {image.height}, {megabytes:.1f} MB"
        yield {"file": str(path), "status": markup.status("Saved.", "done", detail)}

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

    # ---- screens ----------------------------------------------------------------------------


def aspect_margins(width: int, height: int, ratio: float) -> tuple[int, int, int, int]:
    """(left, right, top, bottom) that extend width x height to ``ratio``, never cropping."""
    wide, high = max(width, round(height * ratio)), max(height, round(width / ratio))
    if wide > width:
        return (wide - width) // 2, (wide - width + 1) // 2, 0, 0
    return 0, 0, (high - height) // 2, (high - height + 1) // 2


def _open(file: str) -> Image.Image:
    """A picture file, with messages that name it as the user does."""
    from engine.pixels import open_image  # imports torch; the page need not wait for it

    try:
        return open_image(file)
    except ImageError as error:
        raise ImageError(str(error).replace(file, Path(file).name)) from None
