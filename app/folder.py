"""The one folder of a server for all that it writes: private, and gone with it.

Gradio's uploads and results, histories and files on their way to the browser lie in it. Whoever is
killed cannot tidy up, so the next one to start does; a lock says whose folder is still in use.
"""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import stat
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

PREFIX = "varpaint-server-"
LOCK = "lock"
YOUNG = 60.0  # seconds that a folder may exist without a lock of its maker's
FETCHED = 120.0  # seconds in which a file on its way out is fetched
AGE = 3600.0  # seconds after which it is gone in any case
EVERY = 30.0  # seconds between two looks

log = logging.getLogger("varpaint")


class Folder:
    """A private folder in the system's folder for temporary files."""

    def __init__(self) -> None:
        parent = Path(tempfile.gettempdir())
        sweep(parent)
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))  # 0700
        self._lock = FileLock(self.path / LOCK, timeout=0)
        self._lock.acquire()
        (self.path / "pid").write_text(f"{os.getpid()}\n")  # for whoever wonders whose it is
        self._over = threading.Event()

    @property
    def cache(self) -> Path:
        """Where Gradio puts what comes in and goes out."""
        return self.path / "files"

    def use(self) -> None:
        """Have all of this process's temporary files in it, Gradio's too, until the process ends.
        Before Gradio is imported."""
        self.cache.mkdir(exist_ok=True)
        os.environ["GRADIO_TEMP_DIR"] = str(self.cache)
        tempfile.tempdir = str(self.path)
        atexit.register(self.remove)

    def keep_small(self, limit: int) -> None:
        """From now on, let go of files on their way that are old, or beyond ``limit`` bytes."""

        def work() -> None:
            while not self._over.wait(EVERY):
                with suppress(OSError):
                    tidy(self.cache, limit)

        threading.Thread(target=work, name="tidy", daemon=True).start()

    def remove(self) -> None:
        """With all that is in it."""
        self._over.set()
        shutil.rmtree(self.path, ignore_errors=True)
        with suppress(OSError):
            self._lock.release()
        shutil.rmtree(self.path, ignore_errors=True)  # where a file was written meanwhile


def sweep(parent: Path) -> None:
    """Remove what killed servers left: our own folders, of which nobody holds the lock."""
    for path in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):
            found = path.lstat()
            if not stat.S_ISDIR(found.st_mode) or not _mine(found):
                continue
            if not (path / LOCK).exists() and time.time() - found.st_mtime < YOUNG:
                continue
            lock = FileLock(path / LOCK, timeout=0)
            try:
                with lock:
                    shutil.rmtree(path, ignore_errors=True)
            except Timeout:
                continue
            log.info("removed %s, which a server that was killed had left", path)


def _mine(found: os.stat_result) -> bool:
    return not hasattr(os, "getuid") or found.st_uid == os.getuid()


def tidy(folder: Path, limit: int, *, age: float = AGE, fetched: float = FETCHED) -> None:
    """Let go of files in a folder older than ``age`` seconds, and of the oldest beyond ``limit``
    bytes of them all; but not of those younger than ``fetched`` seconds. A file that lies in no
    folder of its own is an upload under way, or one that was cut."""
    now = time.time()
    files = []
    for path in folder.rglob("*"):
        with suppress(OSError):
            found = path.lstat()
            if stat.S_ISREG(found.st_mode):
                files.append((found.st_mtime, found.st_size, path))
    left = sum(size for _, size, _ in files)
    for then, size, path in sorted(files):
        old = now - then
        cut = path.parent == folder
        if old > age or ((cut or left > limit) and old > fetched):
            with suppress(OSError):
                path.unlink()
                if not cut:
                    path.parent.rmdir()  # if it was the last one there
            left -= size
