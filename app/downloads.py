"""Downloads of official models, in the background: one after the other, whoever asked for them.

Knows no page. What it tells is the same for every window, so a page that is opened anew shows what
goes on. A download that is paused, or that ended with the server, goes on where it stopped.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from engine.errors import DownloadError, EngineError, ModelNotFoundError
from engine.serving.bounds import broken
from engine.weights.places import WEIGHTS
from engine.weights.registry import ModelInfo, download, models, remove

State = Literal["waiting", "receiving", "checking", "paused", "failed"]

REFUSED = "models are not fetched from this window; start the server with --downloads"
SETTLE = 5.0  # seconds over which the rate is measured
PATIENCE = 2.0  # seconds that the end of the server waits for a download to stop

log = logging.getLogger("varpaint")


@dataclass(frozen=True)
class Progress:
    """How far a download is: bytes that are here of ``size``, bytes a second; ``words`` say why it
    failed."""

    state: State
    received: int = 0
    size: int = 0
    rate: float = 0.0
    words: str = ""

    @property
    def part(self) -> float:
        """How much is here, 0 to 1."""
        return min(1.0, self.received / self.size) if self.size else 0.0

    @property
    def active(self) -> bool:
        return self.state in ("waiting", "receiving", "checking")


class _Stopped(Exception):  # noqa: N818  # no error: somebody pressed Pause
    """A download is to end."""


class Downloads:
    """The downloads of a server. Whether anybody may start one, or remove a model, is ``allowed``.
    ``forget`` lets go of a model that is to be removed, or refuses by an EngineError."""

    def __init__(
        self,
        *,
        allowed: bool = True,
        weights: Path = WEIGHTS,
        endpoint: str | None = None,
        forget: Callable[[str], None] = lambda name: None,
    ) -> None:
        self.allowed = allowed
        self.weights = weights
        self._endpoint = endpoint
        self._forget = forget
        self._lock = threading.Condition()
        self._known: dict[str, Progress] = {}  # in the order in which they were asked for
        self._working: str | None = None
        self._over = False

    # ---- what is asked for ------------------------------------------------------------------

    def states(self) -> dict[str, Progress]:
        """Every download that goes on, waits, was paused or failed."""
        with self._lock:
            return dict(self._known)

    def get(self, name: str) -> None:
        """Begin, or go on; it may have to wait for others. Raises EngineError."""
        info = self._required(name)
        if info.present:
            return
        with self._lock:
            before = self._known.pop(name, None)
            if before is not None and before.active:
                self._known[name] = before
                return
            here = max(0, info.bytes - info.missing)
            self._known[name] = Progress("waiting", here, info.bytes)
            if self._working is None and not self._over:
                self._working = name
                threading.Thread(target=self._work, name="download", daemon=True).start()
            self._lock.notify_all()

    def pause(self, name: str) -> None:
        """Stop within a moment; what has arrived stays."""
        self._require_allowed()
        with self._lock:
            known = self._known.get(name)
            if known is not None and known.active:
                self._known[name] = replace(known, state="paused", rate=0.0)

    def remove(self, name: str) -> None:
        """Delete a model's files, and what was begun of them. Raises EngineError."""
        self._required(name)
        self._forget(name)
        self.pause(name)
        with self._lock:
            while self._working == name:
                self._lock.wait()
            self._known.pop(name, None)
        try:
            remove(name, self.weights)
        except OSError as error:
            raise DownloadError(
                f"{name}: cannot be removed ({(error.strerror or str(error)).lower()})"
            ) from None

    def close(self) -> None:
        """Stop all of them: the server ends."""
        with self._lock:
            self._over = True
            for name, known in self._known.items():
                if known.active:
                    self._known[name] = replace(known, state="paused")
            self._lock.wait_for(lambda: self._working is None, PATIENCE)

    def _required(self, name: str) -> ModelInfo:
        """What is known of a model; EngineError if it cannot be fetched, or nobody may."""
        self._require_allowed()
        for info in models(self.weights):
            if info.name == name and info.published:
                return info
        raise ModelNotFoundError(f"{name[:60]!r} is no official model; choose one of the list")

    def _require_allowed(self) -> None:
        if not self.allowed:
            raise DownloadError(REFUSED)

    # ---- the work -----------------------------------------------------------------------------

    def _work(self) -> None:
        """One after the other, until none waits."""
        while True:
            with self._lock:
                waiting = [n for n, known in self._known.items() if known.state == "waiting"]
                self._working = waiting[0] if waiting and not self._over else None
                self._lock.notify_all()
                if self._working is None:
                    return
                name = self._working
                self._known[name] = replace(self._known[name], state="receiving")
            self._one(name)

    def _one(self, name: str) -> None:
        words = ""
        try:
            watch = _Watch(self, name)
            download(name, self.weights, endpoint=self._endpoint, told=watch.told)
        except _Stopped:
            return
        except EngineError as error:
            words = str(error).replace(f"{self.weights}/", "").replace(f"in {self.weights}", "here")
            words = words.replace(f"into {self.weights}", "into the weights folder")
        except Exception as error:
            log.exception("a download failed")
            words = broken(error)
        with self._lock:
            if words:
                self._known[name] = replace(self._known[name], state="failed", words=words)
            else:
                self._known.pop(name, None)
                log.info("model %s is here", name)

    def news(self, name: str, received: int, rate: float, *, whole: bool) -> None:
        """News of the one that is worked on; raises where it is to stop."""
        with self._lock:
            known = self._known[name]
            if not known.active or self._over:
                raise _Stopped
            state: State = "checking" if whole else "receiving"
            size = max(known.size, received)
            self._known[name] = Progress(state, received, size, rate)


class _Watch:
    """Adds up the files of one model, and measures how fast they come."""

    def __init__(self, downloads: Downloads, name: str) -> None:
        self._downloads = downloads
        self._name = name
        self._file = ""
        self._last = 0  # bytes of that file
        self._received = downloads.states()[name].received
        self._before = [(time.monotonic(), self._received)]

    def told(self, filename: str, received: int, size: int) -> None:
        now = time.monotonic()
        if filename != self._file:  # what was here of it counts already
            self._file, self._last = filename, received
        self._received += received - self._last
        self._last = received
        self._before = [at for at in self._before if now - at[0] < SETTLE] or self._before[-1:]
        then, count = self._before[0]
        rate = max(0.0, (self._received - count) / (now - then)) if now - then > 0.5 else 0.0
        if now - self._before[-1][0] > 0.25:
            self._before.append((now, self._received))
        self._downloads.news(self._name, self._received, rate, whole=received >= size)
