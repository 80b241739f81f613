"""The line before the model: one edit at a time, whichever door it came through, first come first
served, and everybody can see how many are before them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

GLANCE = 1.0  # seconds after which one in line looks whether it was cancelled, unasked


class Flag(Protocol):
    """What says that something was cancelled, such as a ``threading.Event``."""

    def is_set(self) -> bool: ...


class Line:
    """A fair lock. Its holder is the first in line."""

    def __init__(self) -> None:
        self._moved = threading.Condition()
        self._places: deque[object] = deque()

    @contextmanager
    def turn(
        self,
        cancelled: Flag | None = None,
        ahead: Callable[[int], None] | None = None,
    ) -> Iterator[bool]:
        """Wait for one's turn and hold it. Gives False if ``cancelled`` was set before it came.

        ``ahead`` is called with the number of those before, at first and whenever it changes, as
        long as there are any. ``wake`` makes a cancelled one notice at once.
        """
        place = object()
        with self._moved:
            self._places.append(place)
        try:
            before = 0
            while True:
                with self._moved:
                    stopped = cancelled is not None and cancelled.is_set()
                    now = self._places.index(place)
                    if not stopped and now and now == before:
                        self._moved.wait(GLANCE)
                        continue
                if stopped or not now:
                    break
                before = now
                if ahead is not None:
                    ahead(now)
            yield not stopped
        finally:
            with self._moved:
                self._places.remove(place)
                self._moved.notify_all()

    def wake(self) -> None:
        """Have everybody in line look up; after an event was set."""
        with self._moved:
            self._moved.notify_all()

    def __len__(self) -> int:
        """How many are in line, the one at work among them."""
        return len(self._places)
