"""Sessions on disk: a window's work outlives its server, however that ended.

Each session has a folder in the user's own one (0700), named after a digest of its key; what lies
in it is app/archive.py's. All is written in the background: nobody waits for it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import stat
import sys
import threading
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakKeyDictionary

from app import archive
from app.limits import USUAL, Limits, require_room
from app.project import INDEX
from app.session import Session
from engine.errors import EngineError

SOON = 0.3  # seconds until a change is written: first the page is shown what came of it
EVERY = 30.0  # seconds between two looks at how much is kept

log = logging.getLogger("varpaint")


def home() -> Path:
    """The user's own folder for what programs keep."""
    given = os.environ.get("XDG_STATE_HOME")
    if given:
        return Path(given) / "varpaint"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local") / "varpaint"
    if sys.platform == "darwin":
        return Path.home() / "Library/Application Support/varpaint"
    return Path.home() / ".local/state/varpaint"


@dataclass(frozen=True)
class Glance:
    """What is told of a kept session before it is opened: its picture's name, the steps of its
    history, and when it was changed last (seconds since 1970)."""

    name: str
    steps: int
    then: float


class Kept:
    """The sessions that are kept in a ``folder``, within the ``limits``; written in the background,
    the newest state of each."""

    def __init__(self, folder: Path, limits: Limits = USUAL) -> None:
        self.folder = folder
        self._limits = limits
        self._lock = threading.Condition()
        self._waiting: OrderedDict[str, Session] = OrderedDict()
        self._writing: Session | None = None
        self._wanted = 0  # how many wait for all to be written
        self._over = False
        self._files: archive.Files = WeakKeyDictionary()
        self._looked = -EVERY
        self._usable = self._made()
        if self._usable:
            threading.Thread(target=self._work, name="keep", daemon=True).start()

    def _made(self) -> bool:
        """Have the folder, for nobody else's eyes."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = self.folder.lstat()
            mine = not hasattr(os, "getuid") or found.st_uid == os.getuid()
            if not stat.S_ISDIR(found.st_mode) or not mine:
                raise PermissionError(1, "it is another user's")
            self.folder.chmod(0o700)
        except OSError as error:
            log.warning("%s: work is not kept there (%s)", self.folder, error.strerror)
            return False
        return True

    # ---- from and to the windows ------------------------------------------------------------

    def put(self, session: Session) -> None:
        """Write a session soon. Nobody waits for it."""
        if self._usable:
            with self._lock:
                self._waiting[session.key] = session
                self._waiting.move_to_end(session.key)
                self._lock.notify_all()

    def find(self, key: str, fresh: Session) -> Session | None:
        """The session of a key, in the place of ``fresh``; None where none is kept, or it cannot
        be read."""
        with self._lock:
            if key in self._waiting:
                return self._waiting[key]
            if self._writing is not None and self._writing.key == key:
                return self._writing
        place = self._place(key)
        if not key or not (place / INDEX).is_file():
            return None
        try:
            session = archive.read(place, fresh, self._files)
            (place / INDEX).touch()  # it was wanted today
        except (EngineError, OSError, ValueError, LookupError) as error:
            log.warning("a kept session cannot be read (%s)", " ".join(str(error).split())[:200])
            return None
        return session

    def glance(self, key: str) -> Glance | None:
        """What there is under a key; None where there is nothing."""
        try:
            path = self._place(key) / INDEX
            index = json.loads(path.read_bytes())["project"]
            return Glance(str(index["name"]), len(index["moments"]), path.stat().st_mtime)
        except (OSError, ValueError, LookupError, TypeError):
            return None

    def flush(self, patience: float = 10.0) -> None:
        """Wait until all that was put is written."""
        with self._lock:
            self._wanted += 1
            self._lock.notify_all()
            self._lock.wait_for(lambda: not self._waiting and self._writing is None, patience)
            self._wanted -= 1

    def close(self) -> None:
        """Write what waits; then no more: the server ends."""
        self.flush(5.0)
        with self._lock:
            self._over = True
            self._lock.notify_all()

    def _place(self, key: str) -> Path:
        return self.folder / hashlib.sha256(key.encode()).hexdigest()[:40]

    # ---- in the background --------------------------------------------------------------------

    def _work(self) -> None:
        with suppress(AttributeError, OSError):  # Linux: this thread alone gives way to all others
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        while True:
            with self._lock:
                self._writing = None
                self._lock.notify_all()
                if self._lock.wait_for(lambda: self._waiting or self._over, EVERY):
                    self._lock.wait_for(lambda: self._wanted or self._over, SOON)
                if self._over:
                    return
                if self._waiting:
                    _, self._writing = self._waiting.popitem(last=False)
            try:
                if self._writing is not None:
                    self._write(self._writing)
                self._tidy()
            except Exception as error:  # such as a full disk: the next change tries again
                log.warning("a session is not kept (%s)", " ".join(str(error).split())[:200])

    def _write(self, session: Session) -> None:
        place = self._place(session.key)
        place.mkdir(mode=0o700, exist_ok=True)
        require_room(self.folder)
        archive.write(place, session, self._files)

    def _tidy(self) -> None:
        """Let go of what is old, and of those unused longest beyond the bound; linked files count
        once."""
        if time.monotonic() - self._looked < EVERY or not self.folder.is_dir():
            return
        self._looked = time.monotonic()
        tidy(self.folder, self._limits.kept, self._limits.kept_age)


def tidy(folder: Path, most: int, age: float) -> None:
    """Remove sessions older than ``age`` seconds, and those unused longest beyond ``most`` bytes of
    all of them."""
    now, found = time.time(), []
    for place in folder.iterdir():
        with suppress(OSError):
            index = place / INDEX
            then = (index if index.exists() else place).stat().st_mtime
            found.append((then, place))
    counted: set[int] = set()
    left = most
    for then, place in sorted(found, reverse=True):
        size = 0
        with suppress(OSError):
            for path in place.iterdir():
                status = path.stat()
                if status.st_ino not in counted:
                    counted.add(status.st_ino)
                    size += status.st_size
        left -= size
        if now - then > age or (left < 0 and now - then > 1.0):
            shutil.rmtree(place, ignore_errors=True)
            left += size
