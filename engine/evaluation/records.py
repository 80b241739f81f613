"""What was measured, a line of JSON a picture: a long run can stop, go on, and be shared out.

Each part of a run (1 of 2, 2 of 2) appends to its own file in a common folder; whoever comes last
finds everything. Without a folder the lines stay in memory.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine import RequestError
from engine.picture.saving import write_whole

Line = dict[str, Any]


class Records:
    """Lines by picture. ``settings`` must be equal for all that share a folder.

    Raises RequestError if the folder holds lines of other settings.
    """

    def __init__(
        self, folder: Path | None, settings: dict[str, Any], *, part: int = 1, parts: int = 1
    ) -> None:
        self.folder, self.part, self.parts = folder, part, parts
        self.settings = json.loads(json.dumps(settings))
        self.lines: dict[int, Line] = {}
        if folder is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        held = folder / "settings.json"
        if not held.exists():
            write_whole(held, json.dumps(self.settings).encode())
        elif json.loads(held.read_text()) != self.settings:
            raise RequestError(
                f"{folder} holds an evaluation with other settings; name another folder or delete "
                f"this one"
            )
        self.refresh()
        own = self._file
        if own is not None and own.exists() and not own.read_text().endswith("\n"):
            with own.open("a") as stream:  # what a crash cut off ends here
                stream.write("\n")

    @property
    def _file(self) -> Path | None:
        name = f"part-{self.part}-of-{self.parts}.jsonl"
        return None if self.folder is None else self.folder / name

    def mine(self, count: int) -> Iterable[int]:
        """The pictures of this part that are not measured yet."""
        return [i for i in range(count) if i % self.parts == self.part - 1 and i not in self.lines]

    def add(self, line: Line) -> None:
        """Keep a measured picture, on disk at once."""
        self.lines[int(line["index"])] = line
        if self._file is not None:
            with self._file.open("a") as stream:
                stream.write(json.dumps(line) + "\n")

    def refresh(self) -> None:
        """Read what all parts have measured; a line cut off by a crash is measured again."""
        if self.folder is None:
            return
        for path in sorted(self.folder.glob("part-*.jsonl")):
            for text in path.read_text().splitlines():
                try:
                    line = json.loads(text)
                except json.JSONDecodeError:
                    continue
                self.lines[int(line["index"])] = line

    def complete(self, count: int) -> bool:
        """Whether every picture has been measured, by this part or another."""
        self.refresh()
        return all(index in self.lines for index in range(count))

    def in_order(self, count: int) -> list[Line]:
        """The lines of the first ``count`` pictures."""
        return [self.lines[index] for index in range(count)]


def packed(values: NDArray[Any], kind: str = "float16") -> str:
    """An array as text."""
    return base64.b64encode(values.astype(kind).tobytes()).decode()


def unpacked(text: str, kind: str = "float16") -> NDArray[np.float64]:
    """What `packed` was given, as float64."""
    return np.frombuffer(base64.b64decode(text), kind).astype(np.float64)
