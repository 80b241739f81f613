"""How the C library holds memory: weights apart, and what a layer lets go of for the next layer.

A tower of convolutions makes and drops maps of tens of megabytes. By default the C library gives
each back to the system at once and has it made anew, page by page, a moment later, which costs as
much as the arithmetic on it.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any

# Parameters of mallopt(3).
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -2, -3, -4
MANY = 65536  # blocks with pages of their own that glibc makes at most if nobody tells it
SMALLEST_APART = 64 * 2**10  # bytes of a weight that has pages of its own
KEPT = 512 * 2**20  # bytes that are kept free at the heap's end
ROOM = 128 * 2**20  # bytes a heap grows by; a thread's heap of 64 MiB that is empty is kept with it


def keep_weights_apart() -> bool:
    """Ask the C library, where it is glibc, for pages of its own for each weight; before loading.

    What is let go of while weights are laid out anew is then given back, and leaves no holes among
    them that nothing fits into. For the whole process, until `keep_freed_memory`.
    """
    library = _library()
    if library is None:
        return False
    done = (
        library.mallopt(_MMAP_MAX, MANY),
        library.mallopt(_MMAP_THRESHOLD, SMALLEST_APART),
    )
    return all(done)


def keep_freed_memory() -> bool:
    """Ask the C library, where it is glibc, to keep what is freed; False where it is not.

    No block has pages of its own any more, however large: a map of 256 x 256 is 42 MB in float32.
    What loading left behind is given back first. For the whole process, until
    `keep_weights_apart`.
    """
    library = _library()
    if library is None:
        return False
    library.malloc_trim(ctypes.c_size_t(0))
    done = (
        library.mallopt(_MMAP_MAX, 0),
        library.mallopt(_TRIM_THRESHOLD, KEPT),
        library.mallopt(_TOP_PAD, ROOM),
    )
    return all(done)


def _library() -> Any:
    """The C library, if it is one that can be told."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        library = ctypes.CDLL(None)
        _ = library.malloc_trim, library.mallopt
    except (OSError, AttributeError):  # musl has neither
        return None
    return library
