"""Runs: from the form to a request, and a request to its result, scale by scale.

The model works in a thread of its own; the generator that feeds the page only passes its news on.
So a window that goes away, or a cancelled run, never keeps the model from the next one.
"""

from __future__ import annotations

import queue
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import gradio as gr
from PIL import Image

from app import canvas, markup, screens
from app.models import Models
from app.screens import Screen
from app.session import Session
from engine.errors import MaskError, RequestError
from engine.request import SIDES, EditOptions, EditRequest

NEED_MASK = ("inpaint", "edit_class")
NEED_LABEL = ("edit_class", "generate")


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


def read_painted(
    canvas_layers: list[str], session: Session, *, required: bool
) -> Image.Image | None:
    """The mask on the canvas; MaskError if there must be one and is none."""
    size = canvas.proxy_size(session.picture.image.size)
    mask = canvas.read_mask(canvas_layers, size)
    if mask is None and required:
        raise MaskError("the mask is empty; paint over the part that should change")
    return mask


@dataclass
class Job:
    """One run of one window: its cancellation, and its way to the page."""

    begun: threading.Event = field(default_factory=threading.Event)
    cancelled: threading.Event = field(default_factory=threading.Event)
    news: queue.Queue[Any] = field(default_factory=queue.Queue)


class Runs:
    """The runs of all windows, by ticket."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self._jobs: dict[str, Job] = {}

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
            **screens.idle(),
            **screens.of_result(session),
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
                "preview": gr.update(value=markup.waiting("Looking …"), visible=True),
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
                    yield screens.of_finished(session.ran(*news))
                    return
        except Exception:
            yield screens.of_result(session)
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
            image = session.picture.image
            painted = read_painted(canvas_layers, session, required=task in NEED_MASK)
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
            with self._models.alone():
                if job.cancelled.is_set():
                    return
                editor = self._models.editor(request.model)
                steps = editor.steps(request)
                grown: list[str] = []
                try:
                    for step in steps:
                        if job.cancelled.is_set():
                            return
                        screen = screens.of_step(step, editor.scales, grown)
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
