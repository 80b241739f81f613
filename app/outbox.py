"""Files on their way to the browser: in a folder that goes with the process, the oldest first."""

from __future__ import annotations

import shutil
import tempfile
from collections import deque
from functools import cache
from pathlib import Path
from threading import Lock

KEPT = 64  # folders; Gradio copies a file as soon as it is handed over

_lock = Lock()


@cache
def _home() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="varpaint-", ignore_cleanup_errors=True)


@cache
def _folders() -> deque[Path]:
    return deque()


def new_folder() -> Path:
    """An empty folder of its own, so that files keep their names."""
    with _lock:
        folder = Path(tempfile.mkdtemp(dir=_home().name))
        _folders().append(folder)
        while len(_folders()) > KEPT:
            shutil.rmtree(_folders().popleft(), ignore_errors=True)
    return folder
