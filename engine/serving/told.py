"""What a replica tells of an edit, and how whoever listens hears it once, whoever dies meanwhile.

An edit makes the same pictures wherever it is done, so one whose replica died is begun again on
another, and what was told already is not told twice.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from engine import EngineError, Finished, ScaleDone

TRIES = 8  # how often an edit is begun
PAUSE = 0.5  # seconds before it is begun again
GONE = "the fleet lost this edit {} times as its machines ended; try again"
SERIES = 4096  # names that pictures share: Ray keeps a gauge for each

Told = tuple[str, Any]
"""("begun", a replica's name) once its turn has come; then ("event", Event); in the end of an edit
over HTTP ("made", Made); or ("error", EngineError)."""


@dataclass(frozen=True)
class Made:
    """What an edit over HTTP gives: PNGs with the request inside, and a report of it."""

    files: tuple[bytes, ...] = field(repr=False)
    report: dict[str, Any] = field(repr=False)


class LostError(EngineError):
    """The fleet could not carry an edit to its end, and it is nobody's mistake."""


class Tale:
    """What was told of one edit so far."""

    def __init__(self) -> None:
        self.begun = False
        self.ended = False
        self._scale = -1
        self._tries = 0

    def is_news(self, told: Told) -> bool:
        kind, what = told
        if kind == "begun":
            self.begun, new = True, not self.begun
            return new
        if isinstance(what, ScaleDone):
            new = what.index > self._scale
            self._scale = max(self._scale, what.index)
            return new
        self.ended = kind in ("made", "error") or isinstance(what, Finished)
        return True

    def begin_again(self, error: BaseException) -> None:
        """Of what a fleet raised. LostError if that was too often; what is no fault of a machine
        is raised again."""
        from ray.exceptions import RayError, TaskCancelledError
        from ray.serve.exceptions import RayServeException

        if isinstance(error, TaskCancelledError):
            raise error
        if not isinstance(error, RayError | RayServeException):
            raise error
        self._tries += 1
        if self._tries >= TRIES:
            raise LostError(GONE.format(self._tries)) from None


def place_of(image: Image.Image | bytes | None) -> str:
    """A name by which the edits of one picture find the replica that remembers it; "" for none."""
    if image is None:
        return ""
    data = image if isinstance(image, bytes) else image.tobytes()
    name = hashlib.blake2b(data, digest_size=8).digest()
    return f"{int.from_bytes(name) % SERIES:03x}"
