"""What Prometheus may know of a fleet; Ray's own port tells it, on each machine."""

from __future__ import annotations

from typing import Any

SECONDS = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0]


class Counts:
    """A replica's: edits by how they ended, and what their parts took."""

    def __init__(self) -> None:
        from ray.util.metrics import Counter, Histogram

        self._edits: Any = Counter(
            "varpaint_edits",
            description="Edits, by task and how they ended: done, failed, left.",
            tag_keys=("task", "ended"),
        )
        self._seconds: Any = Histogram(
            "varpaint_seconds",
            description="What a part of an edit took: wait, open, edit, write.",
            boundaries=SECONDS,
            tag_keys=("part",),
        )

    def ended(self, task: str, how: str) -> None:
        self._edits.inc(tags={"task": task, "ended": how})

    def took(self, part: str, seconds: float) -> None:
        self._seconds.observe(seconds, tags={"part": part})


class Queue:
    """A door's: edits that wait or run, and those that were refused."""

    def __init__(self) -> None:
        from ray.util.metrics import Counter, Gauge

        self._waiting: Any = Gauge("varpaint_waiting", description="Edits that wait or run.")
        self._refused: Any = Counter(
            "varpaint_refused", description="Edits that were refused, by status.",
            tag_keys=("status",),
        )  # fmt: skip

    def are(self, number: int) -> None:
        self._waiting.set(number)

    def refused(self, status: int) -> None:
        self._refused.inc(tags={"status": str(status)})
