"""What the window does: plain functions from values to screens, testable without a browser.

A screen is a dict from element names to updates; what is not in it stays as it is. Mistakes are
raised as ``EngineError`` and put into words in one place, ``in_words``.
"""

from __future__ import annotations

import logging
import queue
import secrets
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from app import canvas, markup
from app.models import Models, Offer
from app.session import TASK_TITLES, Outcome, Session
from engine.errors import EngineError, ImageError, MaskError, RequestError
from engine.request import SIDES, EditOptions, EditRequest

Screen = dict[str, Any]
log = logging.getLogger("varpaint")

RESULT_SIDE = 1280  # pixels of the pictures in the before/after slider
THUMB_SIDE = 192
LADDER_SIDE = 96  # pixels of the small pictures of each scale
FORMATS = {"PNG": ".png", "JPEG": ".jpg", "WebP": ".webp"}
ASPECTS = {"1:1": 1 / 1, "4:3": 4 / 3, "3:2": 3 / 2, "16:9": 16 / 9, "9:16": 9 / 16}
HINTS = {
    "inpaint": "Paint over what should change, then press Run.",
    "outpaint": "Say how far to extend each side, then press Run.",
    "edit_class": "Paint a region, choose what it becomes, then press Run.",
    "generate": "Choose a class and press Run; no picture is needed.",
}
NEED_MASK = ("inpaint", "edit_class")
NEED_LABEL = ("edit_class", "generate")


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
        yield {"status": markup.status(words, "error"), **idle()}
        raise gr.Error(escape(words, quote=False), duration=6, print_exception=False)

    return safe


def idle() -> Screen:
    """The buttons when nothing runs."""
    return {"run": gr.update(interactive=True), "cancel": gr.update(interactive=False)}


def edit_request(
    task: str,
    *,
    image: Image.Image | None = None,
    mask: Image.Image | None = None,
    label: int | str | None = None,
    model: str | None = None,
    margins: dict[str, Any] | None = None,
    options: dict[str, Any] | None = None,
) -> EditRequest:
    """A request from what a form or a script gave; empty fields mean the default."""
    given = {k: v for k, v in (options or {}).items() if v is not None and v != ""}
    sides = {k: v for k, v in (margins or {}).items() if v is not None and v != ""}
    return EditRequest(
        task=task,
        image=image,
        mask=mask,
        label=label if label != "" else None,
        model=model or None,
        options=EditOptions(**given),
        **sides,
    )


@dataclass
class Job:
    """One run of one window: its cancellation, and its way to the page."""

    begun: threading.Event = field(default_factory=threading.Event)
    cancelled: threading.Event = field(default_factory=threading.Event)
    news: queue.Queue[Any] = field(default_factory=queue.Queue)


class Handlers:
    """The callbacks. Holds the models and the jobs that run; a window's work is in its session."""

    def __init__(self, models: Models) -> None:
        self.models = models
        self._jobs: dict[str, Job] = {}

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
            "status": markup.status(self.hint(Session(), task)),
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
        detail = f"{editor.side} px" + (f", {offer.bytes / 1e6:.0f} MB" if offer and offer.bytes else "")
        about = editor.about or (offer.about if offer else "")
        note = markup.model_note(offer.title if offer else name, about, detail)
        return {"model": gr.update(choices=choices, value=name), "model-note": note}

    def _label_update(self, task: str, label: str | None, labels: list[str]) -> Any:
        choices: list[tuple[str, str]] = [(name, name) for name in labels]
        value = label if label in labels else None
        if task not in NEED_LABEL:
            choices.insert(0, ("No class: follow the surroundings", ""))
            value = value or ""
        title = "Class" if task in NEED_LABEL else "Class (optional)"
        return gr.update(choices=choices, value=value, label=title)

    def task_changed(self, task: str, label: str | None, session: Session) -> Iterator[Screen]:
        """Show what the task needs."""
        screen: Screen = {
            "sides": gr.update(visible=task == "outpaint"),
            "status": markup.status(self.hint(session, task)),
        }
        if self.models.ready():
            labels = list(self.models.editor(None).labels)
            screen["label"] = self._label_update(task, label, labels)
        yield screen

    def hint(self, session: Session, task: str) -> str:
        """What to do next."""
        if session.current is None and task != "generate":
            return "Open a picture, or click an example, to begin."
        return HINTS[task]

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
            **self.screen(session),
            **self._result_screen(session),
            "task": task,
            "open": None,
            "status": markup.status(self.hint(session, task), "idle", detail),
        }

    # ---- the mask ---------------------------------------------------------------------------

    def change_mask(self, how: str, canvas_layers: list[str], session: Session) -> Iterator[Screen]:
        """Clear, invert, grow or shrink what is painted."""
        moment = _picture(session)
        size = canvas.proxy_size(moment.image.size)
        mask = None if how == "clear" else canvas.read_mask(canvas_layers, size)
        after = canvas.changed(mask, size, how)
        yield self._mask_screen(session.masked(after).remounted(), f"Mask: {how}.")

    def last_mask(self, session: Session) -> Iterator[Screen]:
        """Paint the mask of the last run again."""
        outcome = session.outcome
        moment = _picture(session)
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
        moment = _picture(session)
        if file is None:
            raise MaskError("no file arrived; use a black and white picture")
        size = canvas.proxy_size(moment.image.size)
        mask = canvas.imported(file, moment.image.size, size)
        screen = self._mask_screen(session.masked(mask).remounted(), "Mask taken from the file.")
        yield {**screen, "import-mask": None}

    def export_mask(self, canvas_layers: list[str], session: Session) -> Iterator[Screen]:
        """The mask as a black and white PNG of the picture's own size."""
        mask = self._painted(canvas_layers, session, required=True)
        assert mask is not None
        full = canvas.full_size(mask, _picture(session).image.size)
        path = _temporary(f"{session.name}-mask.png")
        full.save(path, "PNG")
        yield {"file": str(path), "status": markup.status("The mask is saved.", "done")}

    def _mask_screen(self, session: Session, text: str) -> Screen:
        return {**self.screen(session), "status": markup.status(text)}

    def _painted(
        self, canvas_layers: list[str], session: Session, *, required: bool
    ) -> Image.Image | None:
        size = canvas.proxy_size(_picture(session).image.size)
        mask = canvas.read_mask(canvas_layers, size)
        if mask is None and required:
            raise MaskError("the mask is empty; paint over the part that should change")
        return mask

    # ---- a run ------------------------------------------------------------------------------

    def prepare(self, ticket: str, session: Session) -> Iterator[Screen]:
        """The click on Run, before the queue: from here on Cancel works."""
        self._stop(ticket)
        ticket = secrets.token_hex(8)
        self._jobs[ticket] = Job()
        yield {
            "ticket": ticket,
            "run": gr.update(interactive=False),
            "cancel": gr.update(interactive=True),
            "status": markup.status("Waiting for the model …", "busy"),
        }

    def _stop(self, ticket: str) -> Job | None:
        """Cancel a run, queued or under way; None where there is none."""
        job = self._jobs.pop(ticket, None)
        if job is not None:
            job.cancelled.set()
        return job

    def cancel(self, ticket: str, session: Session) -> Iterator[Screen]:
        """Cancel within one scale. Another window's run goes on.

        A run under way says itself that it has ended: what it showed before may still be on its
        way to the page. One that still waits in the queue will never say anything.
        """
        job = self._stop(ticket)
        if job is None:
            return
        if job.begun.is_set():
            yield {
                "cancel": gr.update(interactive=False),
                "status": markup.status("Cancelling …", "busy"),
            }
        else:
            yield self._cancelled(session)

    def _cancelled(self, session: Session) -> Screen:
        return {
            **idle(),
            **self._result_screen(session),
            "status": markup.status("Cancelled. The picture is as it was."),
        }

    def run(
        self,
        ticket: str,
        canvas_layers: list[str],
        session: Session,
        task: str,
        label: str | None,
        model: str | None,
        **fields: Any,
    ) -> Iterator[Screen]:
        """Carry out the edit, one screen a scale. ``fields`` are margins and options."""
        job = self._jobs.get(ticket)
        if job is None:  # cancelled while it was queued
            return
        job.begun.set()
        try:
            request, session = self._request(canvas_layers, session, task, label, model, fields)
            yield {
                "session": session,
                "preview": gr.update(value=markup.waiting("Looking at the picture …"), visible=True),
                "compare": gr.update(visible=False),
                "status": markup.status("Looking at the picture …", "busy"),
            }
            worker = threading.Thread(target=self._work, args=(request, job), daemon=True)
            worker.start()
            while True:
                kind, news = job.news.get()
                if job.cancelled.is_set():
                    yield self._cancelled(session)
                    return
                if kind == "error":
                    raise news
                if kind == "step":
                    yield news
                if kind == "result":
                    yield self._finished(session.ran(*news))
                    return
        except Exception:
            yield self._result_screen(session)
            raise
        finally:
            job.cancelled.set()
            self._jobs.pop(ticket, None)

    def _request(
        self,
        canvas_layers: list[str],
        session: Session,
        task: str,
        label: str | None,
        model: str | None,
        fields: dict[str, Any],
    ) -> tuple[EditRequest, Session]:
        """The request that the form spells, and the session with its mask remembered."""
        margins = {side: fields.pop(f"extend-{side}", None) for side in SIDES}
        options = {name.replace("-", "_"): value for name, value in fields.items()}
        if options.get("structure") == "auto":
            del options["structure"]
        image = mask = None
        if task != "generate":
            image = _picture(session).image
            painted = self._painted(canvas_layers, session, required=task in NEED_MASK)
            session = session.masked(painted)
            if task in NEED_MASK and painted is not None:
                mask = canvas.full_size(painted, image.size)
        if task in NEED_LABEL and not label:
            raise RequestError("choose a class first: it says what is to appear")
        request = edit_request(
            task,
            image=image,
            mask=mask,
            label=label,
            model=model,
            margins=margins if task == "outpaint" else None,
            options=options,
        )
        return request, session

    def _work(self, request: EditRequest, job: Job) -> None:
        """The worker: one edit at a time, news for the page after every scale."""
        try:
            with self.models.alone():
                if job.cancelled.is_set():
                    return
                editor = self.models.editor(request.model)
                steps = editor.steps(request)
                grown: list[str] = []
                try:
                    for step in steps:
                        if job.cancelled.is_set():
                            return
                        screen = self._step_screen(step, editor.scales, grown)
                        if step.result is not None:
                            news = (step.result, tuple(editor.scales), tuple(grown))
                            job.news.put(("result", news))
                            return
                        job.news.put(("step", screen))
                finally:
                    steps.close()
            raise RequestError("the edit ended without a result; run it again")
        except Exception as error:
            job.news.put(("error", error))
        finally:
            job.news.put(("end", None))  # whoever waits for news of a cancelled run

    def _step_screen(self, step: Any, scales: tuple[int, ...], grown: list[str]) -> Screen:
        """What a step shows; ``grown`` collects small pictures of the frame's scales."""
        done = list(scales).index(step.scale) + 1 if step.scale in scales else step.index + 1
        images = step.previews()
        del grown[done - 1 :]
        while images and len(grown) < done:  # scales that were kept whole give no step
            grown.append(markup.data_url(images[0], LADDER_SIDE))
        text = f"Scale {done} of {len(scales)}"
        if step.frames > 1:
            text = f"Frame {step.frame + 1} of {step.frames}, " + text.lower()
        percent = f"{100 * (step.index + 1) / step.of:.0f} %"
        return {
            "preview": gr.update(value=markup.preview(images, scales, grown), visible=True),
            "status": markup.status(text, "busy", percent),
        }

    def _finished(self, session: Session) -> Screen:
        outcome = session.outcome
        assert outcome is not None
        seeds = outcome.result.seeds
        count = len(seeds)
        text = "Done: use it, or run again." if count == 1 else "Done: pick one, then use it."
        detail = f"{outcome.result.seconds:.1f} s"
        return {
            **self.screen(session),
            **self._result_screen(session),
            **idle(),
            "last-seed": gr.update(value=f"Keep seed {seeds[0]}", visible=True),
            "status": markup.status(text, "done", detail),
        }

    # ---- results and history ----------------------------------------------------------------

    def choose(self, index: int, session: Session) -> Iterator[Screen]:
        """A click on a variation."""
        session = session.chose(index)
        yield {"session": session, **self._result_screen(session, gallery=False)}

    def use(self, task: str, session: Session) -> Iterator[Screen]:
        """The chosen variation becomes the picture."""
        session = session.used()
        if task == "generate":
            task = "inpaint"
        sides = {f"extend-{side}": "" for side in SIDES}
        yield {
            **self.screen(session),
            **sides,
            "task": task,
            "status": markup.status("Used. Go on editing, or undo.", "done"),
        }

    def undo(self, session: Session) -> Iterator[Screen]:
        session = session.undone()
        yield {**self.screen(session), "status": markup.status("Undone.")}

    def redo(self, session: Session) -> Iterator[Screen]:
        session = session.redone()
        yield {**self.screen(session), "status": markup.status("Redone.")}

    def jump(self, index: int, session: Session) -> Iterator[Screen]:
        """A click on the history."""
        if index != session.at:
            session = session.jumped(index)
            caption = session.moments[index].caption
            yield {**self.screen(session), "status": markup.status(f"Back at: {caption}.")}

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
        path = _temporary(f"{session.name}{seed}{suffix}")
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
        width, height = _picture(session).image.size
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

    def screen(self, session: Session) -> Screen:
        """Everything that follows from the session, the results apart."""
        moment = session.current
        has_picture = moment is not None
        facts = ""
        if moment is not None:
            width, height = moment.image.size
            facts = markup.facts(width, height, canvas.proxy_size((width, height)), session.version)
        thumbs = [(_thumb(m.image), m.caption) for m in session.moments]
        return {
            "session": session,
            "version": session.version,
            "facts": facts,
            "undo": gr.update(interactive=session.can_undo),
            "redo": gr.update(interactive=session.can_redo),
            "download": gr.update(interactive=has_picture or session.outcome is not None),
            "history": gr.update(
                value=thumbs, selected_index=session.at if has_picture else None,
                visible=len(thumbs) > 1,
            ),
        }

    def _result_screen(self, session: Session, *, gallery: bool = True) -> Screen:
        """The result column: nothing yet, or the chosen variation beside what was before."""
        outcome = session.outcome
        if outcome is None:
            return {
                "preview": gr.update(value=markup.empty(), visible=True),
                "compare": gr.update(value=None, visible=False),
                "results": gr.update(value=None, visible=False),
                "use-result": gr.update(interactive=False),
            }
        after = canvas.proxy(outcome.image, RESULT_SIDE)
        before = self._before(session, outcome, after.size)
        screen: Screen = {"use-result": gr.update(interactive=True)}
        ladder = markup.grown(outcome.scales, outcome.grown)
        if before is None:
            screen["preview"] = gr.update(value=markup.alone(after, ladder), visible=True)
            screen["compare"] = gr.update(value=None, visible=False)
        else:
            screen["preview"] = gr.update(value=ladder, visible=True)
            screen["compare"] = gr.update(value=(before, after), visible=True)
        if gallery:
            items = [
                (_thumb(image), f"{seed}")
                for image, seed in zip(outcome.result.images, outcome.result.seeds, strict=True)
            ]
            screen["results"] = gr.update(
                value=items, selected_index=outcome.chosen, visible=True
            )
        return screen

    def _before(
        self, session: Session, outcome: Outcome, size: tuple[int, int]
    ) -> Image.Image | None:
        """The picture before the edit, at the size of the one after it; None for nothing."""
        if outcome.base < 0 or outcome.request.task == "generate":
            return None
        image = session.moments[outcome.base].image
        if not any(outcome.extension):
            return canvas.proxy(image, RESULT_SIDE)
        left, top, right, bottom = outcome.extension
        width, height = image.width + left + right, image.height + top + bottom
        factor = size[0] / width, size[1] / height
        box = (round(left * factor[0]), round(top * factor[1]))
        inner = (max(1, round(image.width * factor[0])), max(1, round(image.height * factor[1])))
        sheet = canvas.checkerboard(size)
        sheet.paste(canvas.proxy(image, RESULT_SIDE).resize(inner), box)
        return sheet


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


def _picture(session: Session) -> Any:
    if session.current is None:
        raise ImageError("there is no picture yet; open one or click an example")
    return session.current


def _thumb(image: Image.Image) -> Image.Image:
    return canvas.proxy(image, THUMB_SIDE)


def _temporary(name: str) -> Path:
    """A path in a new folder of its own, so that a download keeps its name."""
    import tempfile

    return Path(tempfile.mkdtemp(prefix="varpaint-")) / name
