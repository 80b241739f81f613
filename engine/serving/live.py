"""The live preview: pictures of a run under way, as many as the run can bear."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from PIL import Image

APART = 0.25  # seconds between two pictures for the page, which takes time to draw them
SHARE = 0.3  # part of a run's time up to which it may take more of them
QUICK = 0.25  # seconds for a picture that is always affordable


class Step(Protocol):
    """What can be looked at: an event of the engine's. ``drawn`` costs no decoder."""

    @property
    def drawn(self) -> bool: ...
    def previews(self, count: int | None = None) -> list[Image.Image]: ...


class Live:
    """What the page shows of a run, step by step.

    The first variation is there at every scale where that is quick, as it is unless a large decoder
    works for it, and at the last; the others are, as long as all previews so far took at most
    ``SHARE`` of the time. Until then they stay as they were shown last. ``fresh``: whether the last
    call made one.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._began = now()
        self._spent = self._each = 0.0  # seconds for all pictures, and for one
        self.fresh = False
        self._shown: list[Image.Image] = []
        self._due = self._began

    def pictures(self, step: Step) -> list[Image.Image]:
        """One picture a variation after this step.

        Where memory is short for previews, what was shown last; nothing if nothing was.
        """
        affordable = self._spent <= self._budget
        fresh = self._looked(step, None if affordable else 1)
        self.fresh = bool(fresh)
        if fresh:
            self._shown = fresh if affordable else fresh + self._shown[len(fresh) :]
        return self._shown

    def glance(self, step: Step) -> Image.Image | None:
        """The first variation after an earlier step, where that is quick or affordable."""
        fresh = self._looked(step, 1)
        return fresh[0] if fresh else None

    @property
    def _budget(self) -> float:
        return SHARE * (self._now() - self._began)

    def _looked(self, step: Step, count: int | None) -> list[Image.Image]:
        """A step's previews, and what they took; none where they would take too much."""
        slow = self._each > QUICK and self._spent + self._each > self._budget
        if slow and not step.drawn:
            return []
        began = self._now()
        fresh = step.previews(count)
        took = self._now() - began
        self._spent += took
        if not step.drawn:
            self._each = took / max(len(fresh), 1)
        return fresh

    def due(self) -> bool:
        """Whether the page is to draw a picture now; asked once a picture."""
        now = self._now()
        if now < self._due:
            return False
        self._due = now + APART
        return True
