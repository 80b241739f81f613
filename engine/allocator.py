"""Memory that a layer lets go of stays with the process, for the next layer.

A tower of convolutions makes and drops maps of tens of megabytes. By default the C library gives
each back to the system at once and has it made anew, page by page, a moment later, which costs as
much as the arithmetic on it.
"""

from __future__ import annotations

import ctypes
import sys

# Parameters of mallopt(3). glibc takes thresholds up to 32 MiB. What is larger than ours, such as a
# K/V cache, has pages of its own, so that it does not cut up the place of the maps.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
LARGEST_KEPT = 24 * 2**20  # bytes of one block
KEPT = 512 * 2**20  # bytes in all, at the heap's end


def keep_freed_memory() -> bool:
    """Ask the C library, where it is glibc, to keep what is freed; False where it is not.

    What loading left behind is given back first. For the whole process, and for good.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        library = ctypes.CDLL(None)
        trim, option = library.malloc_trim, library.mallopt
    except (OSError, AttributeError):  # musl has neither
        return False
    trim(ctypes.c_size_t(0))
    done = (
        option(_MMAP_THRESHOLD, LARGEST_KEPT),
        option(_TRIM_THRESHOLD, KEPT),
    )
    return all(done)
