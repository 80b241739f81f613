"""What a program that serves others bears: bounds of one edit, and memory that goes back."""

from __future__ import annotations

import ctypes
import errno
import logging
from contextlib import suppress
from dataclasses import dataclass

MEGABYTE = 1 << 20
GIGABYTE = 1 << 30
LARGE = 4_000_000  # pixels of a picture beyond which one is opened, or edited, at a time
BROKEN = "something broke inside varpaint"
WAITING = 24  # calls over HTTP that may wait in line


log = logging.getLogger("varpaint")


@dataclass(frozen=True)
class Bounds:
    """``work`` is what one edit may cost, in scales drawn: frames x variations x scales.
    ``memory`` are bytes that its pictures may take."""

    work: int = 20_000
    memory: int = 3 * GIGABYTE


def give_back() -> None:
    """Give freed memory back to the system, where the C library keeps it (glibc, once a model is
    loaded: `engine.machine.allocator`): each thread that held a large picture would keep its own.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(ctypes.c_size_t(0))


def disk_is_full(error: Exception) -> bool:
    """Whether that is why it failed."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def broken(error: Exception) -> str:
    """The words for what nobody thought of, which goes to the log: that the disk is full, or that
    the log has more."""
    if disk_is_full(error):
        log.error("the disk is full: %s", error)
        return "the server's disk is full; free some space, or try again later"
    log.error("something broke", exc_info=error)
    return f"{BROKEN} ({type(error).__name__}); the log has more"
