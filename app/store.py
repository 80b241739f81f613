"""The sessions of windows that may come back: after a refresh, or when the connection is back.

A window's page carries a secret key. Whoever opens the page with a key gets a session of their own
that begins as the one of that key, under a new key: the same work opened in two windows never
mixes.
"""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from threading import Lock
from weakref import WeakValueDictionary

from app.kept import Glance, Kept
from app.session import Session

KEPT = 1000  # sessions with work in them; those unused longest go first
FRESH = 200  # sessions without any, such as every page load begins
PATIENCE = 60.0  # seconds that one waits for another's turn to end
AGE = 24 * 3600.0  # seconds that a session is kept after its last change

_Kept = OrderedDict[str, tuple[Session, float]]


class Store:
    """Sessions by key. Those without work are counted apart: whoever loads pages takes nobody's
    work away. What is forgotten here may still lie on ``disk``."""

    def __init__(
        self, kept: int = KEPT, age: float = AGE, now: Callable[[], float] = time.monotonic,
        disk: Kept | None = None,
    ) -> None:  # fmt: skip
        self._kept, self._age, self._now = kept, age, now
        self.disk = disk
        self._sessions: _Kept = OrderedDict()
        self._fresh: _Kept = OrderedDict()
        self._lock = Lock()
        self._turns: WeakValueDictionary[str, Lock] = WeakValueDictionary()

    def put(self, session: Session) -> None:
        """Remember a session as it is now; one without a key is not remembered."""
        if not session.key:
            return
        works = bool(session.moments or session.shown)
        among, others = (self._sessions, self._fresh)[:: 1 if works else -1]
        with self._lock:
            others.pop(session.key, None)
            among[session.key] = session, self._now()
            among.move_to_end(session.key)
            for sessions, most in ((self._sessions, self._kept), (self._fresh, FRESH)):
                while len(sessions) > most:
                    sessions.popitem(last=False)
                while sessions:
                    key, (_, then) = next(iter(sessions.items()))
                    if self._now() - then <= self._age:
                        break
                    del sessions[key]
        if works and self.disk is not None:
            self.disk.put(session)

    @contextmanager
    def turn(self, session: Session) -> Iterator[Session]:
        """The window's session as it is now, for whoever is to change it: one after the other, so
        that nobody's work is written over."""
        with self._lock:
            lock = self._turns.setdefault(session.key, Lock())
        held = lock.acquire(timeout=PATIENCE)  # better than a window that never answers again
        try:
            yield self.latest(session)
        finally:
            if held:
                lock.release()

    def latest(self, session: Session) -> Session:
        """A window's session as it is now, which may be newer than the one given."""
        with self._lock:
            found = self._found(session.key)
        return found[0] if found is not None else session

    def glance(self, key: str) -> Glance | None:
        """What there is under a key, here or on disk; None where there is nothing."""
        with self._lock:
            found = self._sessions.get(key)
        if found is not None:
            session, then = found
            return Glance(session.name, len(session.moments), time.time() - self._now() + then)
        return self.disk.glance(key) if self.disk is not None and key else None

    def _found(self, key: str) -> tuple[Session, float] | None:
        return self._sessions.get(key) or self._fresh.get(key)

    def begun(self, key: str, fresh: Session) -> Session:
        """A session for a page that was just opened: the one of ``key`` gone on with under a key
        of its own, or ``fresh``. Work that was found on disk is there from now on, too."""
        with self._lock:
            found = self._found(key)
        session = found[0] if found is not None else None
        if session is None and key and self.disk is not None:
            session = self.disk.find(key, fresh)
        session = replace(session or fresh, key=secrets.token_urlsafe(18))
        self.put(session)
        return session
