"""What one server does for whoever asks: bounds that a flag of ``app.py`` sets."""

from __future__ import annotations

import ctypes
import errno
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from engine.errors import RequestError

MEGABYTE = 1 << 20
GIGABYTE = 1 << 30
DAY = 24 * 3600.0
LARGE = 4_000_000  # pixels of a picture beyond which one is opened, or edited, at a time
LEAST_FREE = 512 * MEGABYTE  # of the disk that pictures go to; below it nothing new is taken in


@dataclass(frozen=True)
class Limits:
    """``work`` is what one edit may cost, in scales drawn: frames x variations x scales.
    ``memory`` are bytes that pictures may take: those of all histories a quarter of it, those of
    the edit under way the rest. ``waiting`` are calls over HTTP that may wait in line, ``cache``
    bytes of files on their way in and out. Of the sessions on disk ``kept`` bytes stay, and none
    unused for ``kept_age`` seconds."""

    work: int = 20_000
    memory: int = 4 * GIGABYTE
    waiting: int = 24
    cache: int = 2 * GIGABYTE
    kept: int = 4 * GIGABYTE
    kept_age: float = 7 * DAY

    @property
    def history(self) -> int:
        """Bytes of pictures of all histories that stay in memory; the others go to disk."""
        return self.memory // 4

    @property
    def edit(self) -> int:
        """Bytes that the pictures of one edit may take."""
        return self.memory - self.history


USUAL = Limits()


def give_back() -> None:
    """Give freed memory back to the system, where the C library keeps it (glibc, once a model is
    loaded: `engine.machine.allocator`): each thread that held a large picture would keep its own.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(ctypes.c_size_t(0))


def broken(error: Exception) -> str:
    """The words for what nobody thought of: that the disk is full, or that the log has more."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the server's disk is full; free some space, or try again later"
    return f"something broke inside varpaint ({type(error).__name__}); the log has more"


def require_room(folder: Path, needed: int = 0) -> None:
    """RequestError if a folder's disk would be nearly full with so many bytes more."""
    if shutil.disk_usage(folder).free - needed < LEAST_FREE:
        raise RequestError(
            f"the server's disk is nearly full: less than {LEAST_FREE // MEGABYTE} MB would be "
            "left; free some space, or try again later"
        )
