"""How far a run is, and how long it still takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

OVERHEAD = 0.04  # of a frame's largest scale: what every scale costs beside its tokens
TELLING = 1.0  # seconds of work before a guess is worth telling


class Clock:
    """Guesses from the steps so far; a scale's work grows with its tokens, s * s."""

    def __init__(
        self, scales: Sequence[int], now: Callable[[], float] = time.monotonic
    ) -> None:
        largest = max(side * side for side in scales)
        self._weights = {side: side * side + OVERHEAD * largest for side in scales}
        self._total = sum(self._weights.values())
        self._now = now
        self._began = now()

    def done(self, scale: int, frame: int, frames: int) -> float:
        """The part of the work that is done after this scale, 0 to 1."""
        inside = sum(weight for side, weight in self._weights.items() if side <= scale)
        return min(1.0, (frame + inside / self._total) / frames)

    def left(self, done: float) -> float | None:
        """Seconds to go; None while it is too early to say."""
        spent = self._now() - self._began
        if done <= 0 or spent < TELLING:
            return None
        return spent / done * (1 - done)


def in_words(seconds: float) -> str:
    """A rough time: "4 s", "1 min 20 s", "3 min"."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    minutes, rest = divmod(round(seconds / 10) * 10, 60)
    return f"{minutes} min" if minutes >= 3 or not rest else f"{minutes} min {rest} s"
