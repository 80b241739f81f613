"""What one server does for whoever asks: bounds that a flag of ``app.py`` sets."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from engine.errors import RequestError
from engine.serving.bounds import GIGABYTE, MEGABYTE, WAITING, Bounds

DAY = 24 * 3600.0
LEAST_FREE = 512 * MEGABYTE  # of the disk that pictures go to; below it nothing new is taken in


@dataclass(frozen=True)
class Limits:
    """``work`` is what one edit may cost, in scales drawn: frames x variations x scales.
    ``memory`` are bytes that pictures may take: those of all histories a quarter of it, those of
    the edit under way the rest. ``waiting`` are calls over HTTP that may wait in line, ``cache``
    bytes of files on their way in and out. Of the sessions on disk ``kept`` bytes stay, and none
    unused for ``kept_age`` seconds."""

    work: int = Bounds.work
    memory: int = 4 * GIGABYTE
    waiting: int = WAITING
    cache: int = 2 * GIGABYTE
    kept: int = 4 * GIGABYTE
    kept_age: float = 7 * DAY

    @property
    def history(self) -> int:
        """Bytes of pictures of all histories that stay in memory; the others go to disk."""
        return self.memory // 4

    @property
    def edit(self) -> Bounds:
        """What one edit may take."""
        return Bounds(self.work, self.memory - self.history)


USUAL = Limits()



def require_room(folder: Path, needed: int = 0) -> None:
    """RequestError if a folder's disk would be nearly full with so many bytes more."""
    if shutil.disk_usage(folder).free - needed < LEAST_FREE:
        raise RequestError(
            f"the server's disk is nearly full: less than {LEAST_FREE // MEGABYTE} MB would be "
            "left; free some space, or try again later"
        )
