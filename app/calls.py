"""Calls over HTTP in Gradio's queue: when there are too many, and whether anybody still waits.

Gradio (6.31) counts them together with the window's own events and shuts out both when there are
many; and it lets a call go on whose caller has left.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any

import gradio as gr
from gradio.context import LocalContext

from engine.serving.bounds import broken, disk_is_full

CLOSED = 60.0  # seconds after which a closed window's values are let go of ...
SILENT = 600.0  # ... and those of one that nobody ever looked at, or that says nothing any more

log = logging.getLogger("varpaint")


class Caller:
    """Who waits for the call that is being answered, as something that may be cancelled: set once
    nobody does."""

    def __init__(self, gone: Callable[[], bool] = lambda: False) -> None:
        self._gone = gone

    @classmethod
    def now(cls) -> Caller:
        """That of the event which this thread answers; outside of one, somebody who stays."""
        blocks, event_id = LocalContext.blocks.get(None), LocalContext.event_id.get(None)
        if blocks is None or event_id is None:
            return cls()
        events = blocks._queue.event_ids_to_events

        def gone() -> bool:
            event = events.get(event_id)
            return event is None or not event.alive

        return cls(gone)

    def is_set(self) -> bool:
        return self._gone()


def bound_calls(window: gr.Blocks, names: Collection[str], most: int) -> None:
    """Refuse a call to an endpoint while ``most`` of them wait or run: at once, with status 503 and
    words; and give a caller with an empty name one of its own, as one without a name has: to Gradio
    "" is none where it answers, but the name of a queue where one listens. To be called after
    ``window.queue``.

    Overridden on the instance, as the only place that all calls go through.
    """
    queue = window._queue
    every = queue.push

    async def push(body: Any, request: Any, username: str | None) -> Any:
        body.session_hash = body.session_hash or None
        called = window.fns.get(body.fn_index)
        if called is not None and called.api_name in names and len(_calls(queue, names)) >= most:
            words = f"{most} calls are waiting already; try again in a while"
            return False, words, "queue_full"
        return await every(body=body, request=request, username=username)

    queue.push = push  # type: ignore[method-assign]


def _calls(queue: Any, names: Collection[str]) -> list[Any]:
    """The events of endpoints that are in the queue or being answered."""
    waiting = [event for each in queue.event_queue_per_concurrency_id.values()
               for event in each.queue]  # fmt: skip
    running = [event for job in queue.active_jobs if job is not None for event in job]
    return [event for event in (*waiting, *running) if event.fn.api_name in names]


def forget_callers(window: gr.Blocks, names: Collection[str]) -> None:
    """Let go of what Gradio holds of a caller, a third of a megabyte for each that ever called an
    endpoint: endpoints keep nothing from one call to the next."""
    every = window.process_api

    async def process_api(*args: Any, **kwargs: Any) -> Any:
        try:
            return await every(*args, **kwargs)
        finally:
            if getattr(kwargs.get("block_fn"), "api_name", None) in names:
                window.state_holder.session_data.pop(kwargs.get("session_hash"), None)

    window.process_api = process_api  # type: ignore[method-assign]


def forget_closed(
    holder: Any,
    after: float = CLOSED,
    alive: Callable[[str], bool] = lambda name: True,
    silent: float = SILENT,
) -> None:
    """The same of windows that were closed ``after`` seconds ago, or that are not ``alive`` and
    were last used ``silent`` seconds ago: what comes back of one comes from `app.store`. ``holder``
    looks for such things every second."""
    every = holder.delete_all_expired_state

    def delete_all_expired_state() -> None:
        every()
        now = datetime.now()
        for name, state in list(holder.session_data.items()):
            then = holder.time_last_used.get(name, now)
            idle = (now - then).total_seconds()
            if (state.is_closed and idle > after) or (idle > silent and not alive(name)):
                holder.session_data.pop(name, None)
                holder.time_last_used.pop(name, None)

    holder.delete_all_expired_state = delete_all_expired_state


def forget_answered(holder: Any, window: gr.Blocks, alive: Callable[[str], bool]) -> None:
    """The same of what was said: a queue of messages and a set of events for each that ever called
    and is not ``alive``, and the name of every file that came in or went out, which nothing here
    asks for. A page that listens to a queue that is gone would never hear anything again."""
    every, queue, sets = holder.delete_all_expired_state, window._queue, window.temp_file_sets
    first = len(sets)  # the canvas, which is made anew with every picture, adds its own

    def delete_all_expired_state() -> None:
        every()
        for name, waiting in list(queue.pending_event_ids_session.items()):
            messages = queue.pending_messages_per_session.get(name)
            if messages is None or (not waiting and messages.empty() and not alive(name)):
                queue.pending_event_ids_session.pop(name, None)
                queue.pending_messages_per_session.pop(name, None)
        for names in sets:
            names.clear()
        del sets[first:]

    holder.delete_all_expired_state = delete_all_expired_state


def in_one_line(window: gr.Blocks) -> None:
    """What Gradio says of a value that it cannot use has many lines, and paths of the server: say
    so in one, and put it into the log."""
    every = window.process_api

    async def process_api(*args: Any, **kwargs: Any) -> Any:
        try:
            return await every(*args, **kwargs)
        except gr.Error as error:
            if not error.print_exception:  # our own words
                raise
            reason: Exception = error
        except Exception as error:
            reason = error
        told = " ".join(str(reason).split())[:200]
        log.warning("a request that Gradio refuses: %s: %s", type(reason).__name__, told)
        words = "the request cannot be understood: a value is not what docs/http.md says"
        if disk_is_full(reason):
            words = broken(reason)
        raise gr.Error(words, print_exception=False) from None

    window.process_api = process_api  # type: ignore[method-assign]
