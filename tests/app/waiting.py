"""Waiting for another thread, with an end to it."""

from __future__ import annotations

import threading

from app.backend import Local


def becomes_free(models: Local, seconds: float) -> bool:
    """Whether the model can be had within so many seconds."""
    released = threading.Event()

    def wait() -> None:
        with models.alone():
            released.set()

    threading.Thread(target=wait, daemon=True).start()
    return released.wait(seconds)
