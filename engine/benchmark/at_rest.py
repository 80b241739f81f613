"""How much of a processor a window takes while nobody is at it.

It is read from ``/proc``, so there is nothing to read but on Linux.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

PROCESSES = Path("/proc")
PARTS = {  # what such a process has in its command line
    "the page": "--type=renderer",
    "what draws it": "--type=gpu-process",
    "the server": "app.py",
}


def shares(seconds: float) -> dict[str, float]:
    """By part, how much of one core this process's descendants take, over so many seconds.

    Empty where no process can be read.
    """
    before, began = _taken(), time.perf_counter()
    time.sleep(seconds)
    after, passed = _taken(), time.perf_counter() - began
    return {part: (taken - before.get(part, 0)) / passed for part, taken in after.items()}


def _taken() -> dict[str, float]:
    """Processor seconds so far of this process's descendants, by part."""
    parents: dict[int, int] = {}
    told: dict[int, tuple[str, float]] = {}
    for folder in PROCESSES.glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_text(errors="replace")
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        process = int(folder.name)
        parents[process] = int(fields[1])
        ticks = int(fields[11]) + int(fields[12])  # utime and stime of proc(5)
        told[process] = command, ticks / os.sysconf("SC_CLK_TCK")
    taken: dict[str, float] = {}
    for process, (command, seconds) in told.items():
        part = next((name for name, sign in PARTS.items() if sign in command), None)
        if part is not None and _descends(process, parents):
            taken[part] = taken.get(part, 0) + seconds
    return {part: taken[part] for part in PARTS if part in taken}


def _descends(process: int, parents: dict[int, int]) -> bool:
    here = os.getpid()
    while process in parents:
        process = parents[process]
        if process == here:
            return True
    return False
