"""A batch: what is not done yet is done, reported, and can be interrupted at any moment."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from filelock import FileLock, Timeout

from engine import RequestError
from engine.serving.jobs import Row
from engine.serving.report import Report
from engine.serving.work import Entry, Setting, Worker

LOCK = ".batch.lock"

Spread = Callable[[Iterator[Row]], Iterator[Entry]]
"""Carries out rows somewhere, and gives back an entry for each, in any order."""


@dataclass
class Summary:
    """How a batch went: edits ``done`` now, ``kept`` from before, and ``failed`` in all."""

    done: int = 0
    kept: int = 0
    failed: int = 0
    seconds: float = 0.0


def here(setting: Setting) -> Spread:
    """One worker, in this process."""

    def carried_out(rows: Iterator[Row]) -> Iterator[Entry]:
        worker = Worker(setting)
        for row in rows:
            yield from worker.carry_out([row])

    return carried_out


def carry_out(
    rows: Iterator[Row],
    setting: Setting,
    spread: Spread,
    *,
    retry_failed: bool = False,
    tell: Callable[[Entry], None] = lambda entry: None,
) -> Summary:
    """Do what of the rows is not done yet, and write the report; ``tell`` hears of each edit.

    Raises RequestError where the folder cannot be written to or another batch is at work there.
    """
    summary, began = Summary(), time.monotonic()
    try:
        setting.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(setting.folder / LOCK, timeout=0):
            report = Report(setting)
            try:
                for entry in spread(_left(rows, report, summary, retry_failed)):
                    report.add(entry)
                    summary.done += "error" not in entry
                    tell(entry)
            finally:
                report.close()
                summary.failed = len(report.failed)
                summary.seconds = time.monotonic() - began
    except Timeout:
        raise RequestError(f"{setting.folder}: another batch is at work there") from None
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise RequestError(f"{setting.folder}: cannot be written to ({why})") from None
    return summary


def _left(
    rows: Iterator[Row], report: Report, summary: Summary, retry_failed: bool
) -> Iterator[Row]:
    for row in rows:
        if report.has(row, retry_failed=retry_failed):
            summary.kept += row.number not in report.failed
        else:
            yield row
