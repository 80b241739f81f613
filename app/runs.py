"""Runs: a request to its result, scale by scale, in the line before the model.

A run waits in a thread of its own and asks the backend (`app.backend`) for its steps; the
generator that feeds the page only passes its news on. So a window that goes away, or a cancelled
run, never keeps the model from the next one. A page that is opened again soon enough takes up the
run that it left.
"""

from __future__ import annotations

import logging
import queue
import re
import secrets
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

import gradio as gr

from app import forms, markup, screens, views
from app.backend import Backend
from app.clock import Clock
from app.moments import Moment
from app.painter import Ladder, Painter
from app.screens import Screen
from app.session import Session
from app.store import Store
from engine.errors import EngineError, RequestError
from engine.events import Event, Finished, ScaleDone
from engine.request import EditRequest
from engine.request.options import MAX_SEED
from engine.serving.live import Live

GRACE = 20.0  # seconds that a run goes on without a page to show it
TAKE_OVER = 10.0  # seconds that a page waits for its forerunner to let go of its run
NOTHING_NEW = 2.0  # seconds without news after which a page is told so; less than it waits
GLANCE = 0.05  # seconds between two looks whether it has
TICKET = re.compile("[0-9a-f]{16}")
MANY = 1000  # tickets that are remembered

log = logging.getLogger("varpaint")


@dataclass
class Job:
    """One run of one window: its cancellation, and its way to the page."""

    key: str
    cancelled: threading.Event = field(default_factory=threading.Event)
    left: threading.Event = field(default_factory=threading.Event)
    news: queue.Queue[Any] = field(default_factory=queue.Queue)
    base: Moment | None = None
    dropped: bool = False
    ending: threading.Timer | None = None


class Runs:
    """The runs of all windows, by ticket."""

    def __init__(self, backend: Backend, store: Store) -> None:
        self._backend = backend
        self._store = store
        self._jobs: dict[str, Job] = {}
        self._tickets = threading.Lock()  # over the two below
        self._known: deque[str] = deque(maxlen=MANY)  # tickets of runs that have begun
        self._unwanted: deque[str] = deque(maxlen=MANY)  # cancelled before they came here

    def _begin(self, ticket: str, session: Session) -> tuple[str, Job] | None:
        """The run of a press on Run or More, under the ticket that the page made for it; None if it
        was cancelled before it came here."""
        with self._tickets:
            if ticket in self._unwanted:
                self._unwanted.remove(ticket)
                return None
            if not TICKET.fullmatch(ticket) or ticket in self._known:
                ticket = secrets.token_hex(8)
            self._known.append(ticket)
            job = self._jobs[ticket] = Job(session.key)
        return ticket, job

    def _stop(self, ticket: str) -> Job | None:
        """Cancel a run, queued or under way; None where there is none."""
        job = self._jobs.pop(ticket, None)
        if job is not None:
            job.cancelled.set()
            job.news.put(("end", None))  # its page may wait in line
            self._backend.wake()
        return job

    def cancel(self, ticket: str, session: Session) -> Iterator[Screen]:
        """Cancel within one scale. Another window's run goes on.

        A run under way says itself that it has ended: what it showed before may still be on its
        way to the page. One that still waits in Gradio's queue will never say anything.
        """
        with self._tickets:
            late = ticket not in self._known and TICKET.fullmatch(ticket) is not None
            if late:
                self._unwanted.append(ticket)
        if late:
            yield self._cancelled(session)
        else:
            self._stop(ticket)

    def drop(self, session: Session) -> None:
        """Another picture comes into the window: what still runs was for the one before."""
        for ticket, job in list(self._jobs.items()):
            if session.key and job.key == session.key:
                job.dropped = True
                self._stop(ticket)

    def goes_on(self, key: str) -> bool:
        """Whether a page that left with this key left a run, too."""
        jobs = list(self._jobs.values())
        return bool(key) and any(job.key == key for job in jobs)

    def _cancelled(self, session: Session) -> Screen:
        return {
            **screens.idle(),
            **screens.of_result(self._store.latest(session)),
            "status": markup.status("Cancelled. Change something, and press Run."),
        }

    def run(
        self,
        ticket: str,
        painted: str,
        session: Session,
        task: str,
        label: str | None,
        model: str | None,
        **fields: Any,
    ) -> Iterator[Screen]:
        """Carry out the edit, one screen a scale. ``fields`` are margins and options."""
        if (begun := self._begin(ticket, session)) is None:
            return
        ticket, job = begun
        try:
            with self._store.turn(session) as newest:
                session = forms.with_mask(painted, newest, task)
                self._store.put(session)
            request = forms.request_of(session.current, task, label, model, fields)
        except Exception:
            self._jobs.pop(ticket, None)
            raise
        yield from self._show(ticket, job, session, request)

    def more(
        self,
        ticket: str,
        scales: int | str,
        session: Session,
        model: str | None,
        **fields: Any,
    ) -> Iterator[Screen]:
        """Draw the chosen variation again from scale ``scales`` on: its idea, other details."""
        if (begun := self._begin(ticket, session)) is None:
            return
        ticket, job = begun
        try:
            request = self._again(session, int(scales), fields)
            base = session.result.base
        except Exception:
            self._jobs.pop(ticket, None)
            raise
        yield from self._show(ticket, job, session, request, base)

    def ahead(
        self,
        painted: str,
        session: Session,
        task: str,
        label: str | None,
        model: str | None,
        **fields: Any,
    ) -> Iterator[Screen]:
        """While nobody waits for the model, have it study the picture for a fast edit to come."""
        if fields.get("speed") == "fast" and self._backend.ready(model):
            try:
                session = forms.with_mask(painted, session, task)
                self._backend.warm(forms.request_of(session.current, task, label, model, fields))
            except EngineError:  # not all is filled in yet; Run will tell
                pass
            except Exception:
                log.warning("could not prepare a fast edit", exc_info=True)
        yield {}

    def _again(self, session: Session, scales: int, fields: dict[str, Any]) -> EditRequest:
        """The chosen variation's request, with the seeds of its first scales."""
        chosen = session.result
        label = chosen.request.label
        if chosen.request.regions and chosen.base is not None and chosen.base.held_mask:
            label = chosen.request.regions[-1].label
        options = {
            **chosen.request.options.model_dump(),
            "seed": secrets.randbelow(min(2**31, MAX_SEED)),
            "variations": fields.get("variations") or 1,
            "candidates": fields.get("candidates") or None,
            "coarse-seeds": chosen.coarse_seeds(scales),
        }
        sides = forms.SIDE_FIELDS.items()
        margins = {field: getattr(chosen.request, side) for side, field in sides}
        return forms.request_of(
            chosen.base, chosen.request.task, label, chosen.request.model, {**options, **margins}
        )

    def resume(self, key: str, session: Session) -> Iterator[Screen]:
        """A page that was opened again: show the run that it left, or how it ended meanwhile."""
        for ticket, job in list(self._jobs.items()):
            if not key or job.key != key:
                continue
            if not job.left.is_set():
                yield {}  # at the end Gradio tells the last answer again, and that may be a while
            until = time.monotonic() + TAKE_OVER
            while ticket in self._jobs and not job.left.is_set() and time.monotonic() < until:
                time.sleep(GLANCE)
            if not job.left.is_set() or job.cancelled.is_set():
                continue  # shown elsewhere, or over
            job.left.clear()
            if job.ending is not None:
                job.ending.cancel()
            job.key = session.key
            yield screens.running(ticket)
            yield from self._listen(ticket, job, session)
            return
        before = self._store.latest(replace(session, key=key))
        if before.results is session.results:
            return
        with self._store.turn(session) as mine:
            if mine.results is session.results:  # a run ended meanwhile, and its page was going
                mine = replace(mine, results=before.results, chosen=before.chosen)
                yield screens.of_finished(mine)

    def _show(
        self,
        ticket: str,
        job: Job,
        session: Session,
        request: EditRequest,
        base: Moment | None = None,
    ) -> Iterator[Screen]:
        job.base = base or session.current
        worker = threading.Thread(target=self._work, args=(request, job), daemon=True)
        worker.start()
        yield {
            **screens.running(ticket),
            "preview": gr.update(value=markup.waiting("Looking …"), visible=True),
            "compare": gr.update(visible=False),
            "status": markup.status("Looking at the picture …", "busy"),
        }
        yield from self._listen(ticket, job, session)

    def _listen(self, ticket: str, job: Job, session: Session) -> Iterator[Screen]:
        """Pass a run's news on to the page. Left half-way, the run goes on for a while."""
        try:
            while True:
                try:
                    kind, news = job.news.get(timeout=NOTHING_NEW)
                except queue.Empty:  # a page that has gone is noticed when something is sent
                    yield {}
                    continue
                if job.cancelled.is_set():
                    self._jobs.pop(ticket, None)
                    yield screens.idle() if job.dropped else self._cancelled(session)
                    return
                if kind == "step":
                    yield news | self._newer(job)
                    continue
                self._jobs.pop(ticket, None)
                if kind == "error":
                    yield screens.of_result(self._store.latest(session))
                    raise news
                if kind == "result":
                    with self._store.turn(session) as newest:
                        finished = newest.ran(*news, base=job.base)
                        self._store.put(finished)  # first: the page may have gone
                        yield screens.of_finished(finished)
                return
        except GeneratorExit:
            self._leave(ticket, job)
            raise

    @staticmethod
    def _newer(job: Job) -> Screen:
        """What came in while the page was busy with older news of the same kind."""
        newest: Screen = {}
        with job.news.mutex:  # its reader is here, so nothing but a writer can come between
            while job.news.queue and job.news.queue[0][0] == "step":
                newest |= job.news.queue.popleft()[1]
        return newest

    def _leave(self, ticket: str, job: Job) -> None:
        """The page is gone: wait for it to come back, then cancel."""
        job.ending = threading.Timer(GRACE, self._stop, [ticket])
        job.ending.daemon = True
        job.ending.start()
        job.left.set()

    def _work(self, request: EditRequest, job: Job) -> None:
        """A run from its place in line to its end; in a thread of its own, for it waits."""

        def waits(ahead: int) -> None:
            before = "1 run is" if ahead == 1 else f"{ahead} runs are"
            text = markup.status(f"In line: {before} before yours.", "busy")
            job.news.put(("step", {"status": text}))

        try:
            with closing(self._backend.steps(request, job.cancelled, waits)) as events:
                self._edit(events, request, job)
        except Exception as error:
            job.news.put(("error", error))
        finally:
            job.news.put(("end", None))  # whoever waits for news of a cancelled run

    def _edit(self, events: Iterator[Event], request: EditRequest, job: Job) -> None:
        """The edit, news for the page of every scale that it can keep up with."""
        ladder, box = Ladder(), views.edited_box(request)
        scales: tuple[int, ...] = ()
        clock = live = None

        def show(event: ScaleDone) -> None:
            if clock is not None and live is not None and not job.cancelled.is_set():
                screen = screens.of_step(event, scales, ladder, clock, live, box)
                job.news.put(("step", screen))

        def make_up(event: ScaleDone) -> None:
            if live is not None and not job.cancelled.is_set():
                screens.add_rung(event, scales, ladder, live.glance(event), box)

        with Painter(show, make_up) as painter:
            for event in events:
                if job.cancelled.is_set():
                    return
                if not scales:  # the model is there, and works
                    card = self._backend.card(request.model)
                    scales = card.drawing(request.options).scales
                    clock, live = Clock(scales), Live()
                if isinstance(event, Finished):
                    painter.finish()
                    job.news.put(("result", (event.result, scales, ladder.rungs)))
                    return
                if isinstance(event, ScaleDone):
                    painter.add(event)
        if not job.cancelled.is_set():
            raise RequestError("the edit ended without a result; run it again")
