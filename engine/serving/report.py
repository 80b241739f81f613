"""The report of a batch: a line an edit, and what is done already when a batch goes on."""

from __future__ import annotations

import json
import os

from engine import RequestError
from engine.picture.saving import whole
from engine.serving.jobs import Row
from engine.serving.work import Entry, Setting

NAME = "report.jsonl"


class Report:
    """``report.jsonl`` of a batch's folder. Lines are added as edits end; of a row that was done
    again the last one counts, and `close` leaves one a row, in the order of the rows."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.path = setting.folder / NAME
        self._places: dict[int, int] = {}  # row -> where its last line begins
        self.failed: set[int] = set()
        self._last = 0
        self._ordered = True
        self._file = self.path.open("a+b")
        try:
            self._read()
        except RequestError:
            self._file.close()
            raise

    def has(self, row: Row, *, retry_failed: bool) -> bool:
        """Whether a row needs nothing more: it is done as it is asked for now, and its files are
        there; or it failed, and is not to be tried again."""
        if row.number not in self._places:
            return False
        self._file.seek(self._places[row.number])
        entry = json.loads(self._file.readline())
        if entry["asked"] != row.fingerprint(self.setting.defaults):
            return False
        if row.number in self.failed:
            return not retry_failed
        return all((self.setting.folder / name).is_file() for name in entry.get("files", ()))

    def add(self, entry: Entry) -> None:
        """A line, whole or not at all for whoever reads it later."""
        self._note(entry, self._file.seek(0, os.SEEK_END))
        self._file.write(json.dumps(entry).encode() + b"\n")
        self._file.flush()

    def close(self) -> None:
        """Leave one line a row, in order."""
        if not self._ordered:
            with whole(self.path) as file:
                for number in sorted(self._places):
                    self._file.seek(self._places[number])
                    file.write(self._file.readline())
        self._file.close()

    def _read(self) -> None:
        self._file.seek(0)
        end = 0
        for line in self._file:
            if not line.endswith(b"\n"):  # the process ended in the middle of it
                break
            try:
                entry = json.loads(line)
                if "asked" not in entry:
                    raise KeyError("asked")
                self._note(entry, end)
            except (ValueError, KeyError, TypeError):
                raise RequestError(
                    f"{self.path}: is no report of a batch; name another folder with -o"
                ) from None
            end += len(line)
        self._file.truncate(end)

    def _note(self, entry: Entry, place: int) -> None:
        number = int(entry["row"])
        self._ordered &= number > self._last
        self._last = number
        self._places[number] = place
        if "error" in entry:
            self.failed.add(number)
        else:
            self.failed.discard(number)
