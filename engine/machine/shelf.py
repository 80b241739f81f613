"""Weights that are read once a label, held in a file instead of in memory.

A third of a block's weights turn a label into its modulation, and are not needed again until
another label comes. The file is mapped: what is touched is read, and let go of afterwards. The
system may keep it cached for as long as nobody needs the memory more.
"""

from __future__ import annotations

import logging
import mmap
import os
import shutil
import tempfile
from pathlib import Path

import torch
from torch import nn

ON_DISK = Path("/var/tmp")  # where a system has one: /tmp is often memory itself
SPARE = 1_000_000_000  # bytes that stay free on the disk, for everything else that needs it

log = logging.getLogger(__name__)


class Shelf:
    """Parameters on the CPU whose bytes lie in unnamed temporary files. Threads may share it."""

    def __init__(self) -> None:
        self.maps: list[mmap.mmap] = []

    def hold(self, parameter: nn.Parameter) -> bool:
        """Move a parameter's bytes into a file; False, and it stays as it is, if none can be had
        or the disk would have less than ``SPARE`` bytes left.

        Its values, and how it is used, stay the same.
        """
        weight = parameter.data.contiguous()
        try:
            folder = _folder()
            if shutil.disk_usage(folder).free - weight.nbytes < SPARE:
                log.info("%s would be full: %d bytes of weights stay in memory", folder,
                         weight.nbytes)  # fmt: skip
                return False
            with tempfile.TemporaryFile(dir=folder) as file:
                file.write(weight.flatten().view(torch.uint8).numpy().data)
                file.flush()
                mapped = mmap.mmap(file.fileno(), weight.nbytes)
        except OSError as error:
            log.info("no room for %d bytes of weights in a file: %s", weight.nbytes, error)
            return False
        parameter.data = torch.frombuffer(mapped, dtype=weight.dtype).view(weight.shape)
        self.maps.append(mapped)
        return True

    def let_go(self) -> None:
        """Tell the system that what was read is not needed for now."""
        if hasattr(mmap, "MADV_DONTNEED"):
            for each in self.maps:
                each.madvise(mmap.MADV_DONTNEED)


def _folder() -> Path:
    """Where temporary files go: as the user says, else to a disk."""
    chosen = any(name in os.environ for name in ("TMPDIR", "TEMP", "TMP"))
    if chosen or not os.access(ON_DISK, os.W_OK):
        return Path(tempfile.gettempdir())
    return ON_DISK
