"""How the C library holds memory: weights apart, and what a layer lets go of for the next layer.

A tower of convolutions makes and drops maps of tens of megabytes. By default the C library gives
each back to the system at once and has it made anew, page by page, a moment later, which costs as
much as the arithmetic on it.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any

# Parameters of mallopt(3). glibc takes thresholds up to 32 MiB. What is larger than ours, such as a
# K/V cache, has pages of its own, so that it does not cut up the place of the maps.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
SMALLEST_APART = 64 * 2**10  # bytes of a weight that has pages of its own
LARGEST_KEPT = 24 * 2**20  # bytes of one block
KEPT = 512 * 2**20  # bytes in all, at the heap's end


def keep_weights_apart() -> bool:
    """Ask the C library, where it is glibc, for pages of its own for each weight; before loading.

    What is let go of while weights are laid out anew is then given back, and leaves no holes among
    them that nothing fits into. For the whole process, until `keep_freed_memory`.
    """
    library = _library()
    return library is not None and bool(library.mallopt(_MMAP_THRESHOLD, SMALLEST_APART))


def keep_freed_memory() -> bool:
    """Ask the C library, where it is glibc, to keep what is freed; False where it is not.

    What loading left behind is given back first. For the whole process, and for good.
    """
    library = _library()
    if library is None:
        return False
    library.malloc_trim(ctypes.c_size_t(0))
    done = (
        library.mallopt(_MMAP_THRESHOLD, LARGEST_KEPT),
        library.mallopt(_TRIM_THRESHOLD, KEPT),
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
