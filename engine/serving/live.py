"""The live preview: pictures of a run under way, as many as the run can bear."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from PIL import Image

APART = 0.25  # seconds between two pictures for the page, which takes time to draw them
SHARE = 0.3  # part of a run's time that the other variations' previews may take it up to


class Step(Protocol):
    """What can be looked at: an event of the engine's."""

    def previews(self, count: int | None = None) -> list[Image.Image]: ...


class Live:
    """What the page shows of a run, step by step.

    The first variation is there at every scale; the others are, as long as all previews so far
    took at most ``SHARE`` of the time. Until then they stay as they were shown last.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._began = now()
        self._spent = 0.0
        self._shown: list[Image.Image] = []
        self._due = self._began

    def pictures(self, step: Step) -> list[Image.Image]:
        """One picture a variation after this step.

        Where memory is short for previews, what was shown last; nothing if nothing was.
        """
        began = self._now()
        affordable = self._spent <= SHARE * (began - self._began)
        fresh = step.previews(None if affordable else 1)
        self._spent += self._now() - began
        if fresh:
            self._shown = fresh if affordable else fresh + self._shown[len(fresh) :]
        return self._shown

    def due(self) -> bool:
        """Whether the page is to draw a picture now; asked once a picture."""
        now = self._now()
        if now < self._due:
            return False
        self._due = now + APART
        return True
