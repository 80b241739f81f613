"""Looking at what a model draws while it goes on: in a thread of its own, the newest first.

A look takes time from the model, and a quick one draws several scales before a person has seen one.
So the page gets the newest, and the others are made up for the ladder below it afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event
from types import TracebackType
from typing import Self

from engine.events import ScaleDone

FIRST = 0.1  # seconds that the first look waits at most: a quick model is half done by then


@dataclass
class Ladder:
    """Small pictures of the scales of one frame, the newest that was added, as data URLs."""

    frame: int = 0
    _rungs: dict[int, str] = field(default_factory=dict)

    def add(self, frame: int, scale: int, picture: str) -> None:
        """The picture of the ``scale``th scale, counted from 1."""
        if frame > self.frame:
            self.frame, self._rungs = frame, {}
        if frame == self.frame:
            self._rungs[scale] = picture

    @property
    def rungs(self) -> tuple[str, ...]:
        """One a scale, up to the last that there is; those between show the next that there is."""
        made, last = list[str](), ""
        for scale in range(max(self._rungs, default=0), 0, -1):
            last = self._rungs.get(scale, last)
            made.append(last)
        return tuple(reversed(made))


class Painter:
    """Shows the scales that are added to it: ``newest`` is called with each that no later one
    has overtaken, ``older`` with the others of the newest frame. At the end of the block all of
    them have been looked at; what a look raises is raised then."""

    def __init__(
        self, newest: Callable[[ScaleDone], None], older: Callable[[ScaleDone], None]
    ) -> None:
        self._newest, self._older = newest, older
        self._waiting: list[ScaleDone] = []
        self._last: ScaleDone | None = None
        self._looks: list[Future[None]] = []
        self._all = Event()  # nothing more will be added
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="preview")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._thread.shutdown(cancel_futures=kind is not None)

    def add(self, event: ScaleDone) -> None:
        self._waiting.append(event)
        self._looks.append(self._thread.submit(self._look))

    def finish(self) -> None:
        """Nothing more is added: wait until everything has been looked at."""
        self._all.set()
        for each in self._looks:
            each.result()

    def _look(self) -> None:
        if self._last is None:
            self._all.wait(FIRST)
        event = self._waiting.pop()
        if self._last is None or event.index > self._last.index:
            self._last = event
            self._newest(event)
        elif event.frame == self._last.frame:
            self._older(event)
