"""What a fast edit needs is done ahead of it, while one still paints."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from app.backend import Local
from app.handlers import Handlers
from app.screens import Screen
from app.session import Session
from tests.app.layers import layer
from tests.app.visit import opened, shown


@pytest.fixture
def studies(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The threads in which pictures were studied for the fast mode."""
    from engine.fast import original as fast

    inner, seen = fast.study, []

    def study(*given: Any) -> Any:
        seen.append(threading.current_thread().name)
        return inner(*given)

    monkeypatch.setattr(fast, "study", study)
    return seen


FAST = {"speed": "fast", "context": "whole", "structure": "0"}


def ahead(handlers: Handlers, session: Session, painted: str, **fields: Any) -> list[Screen]:
    return list(handlers.runs.ahead(painted, session, "inpaint", None, None, **fields))


def test_a_fast_edit_is_prepared_while_one_still_paints(
    handlers: Handlers, photo: str, studies: list[str]
) -> None:
    session, painted = opened(handlers, photo), layer((20, 10, 24, 14))
    assert not any(ahead(handlers, session, painted, **FAST)), "nothing changes on the page"
    assert len(studies) == 1 and studies[0].startswith("model")
    ahead(handlers, session, painted, **FAST)
    shown(handlers, session, painted, **FAST)
    assert len(studies) == 1, "neither once more nor in the edit"


def test_nothing_is_prepared_that_is_not_wanted(
    handlers: Handlers, photo: str, painted: str, studies: list[str]
) -> None:
    session = opened(handlers, photo)
    for fields in ({}, {"speed": "exact"}, {**FAST, "top-p": "7"}):
        assert not any(ahead(handlers, session, painted, **fields)), "Run tells what is wrong"
    assert not any(ahead(handlers, Session(), painted, **FAST)), "no picture"
    assert not any(ahead(handlers, session, "", **FAST)), "no mask"
    assert not any(ahead(Handlers(Local("other")), session, painted, **FAST)), "no model"
    with handlers.backend.alone():
        assert not any(ahead(handlers, session, painted, **FAST)), "somebody is at work"
    assert not studies


def test_what_goes_wrong_ahead_of_a_run_is_in_the_log_only(
    handlers: Handlers, photo: str, painted: str,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    def full(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(handlers.backend.editor(None), "warm", full)
    assert not any(ahead(handlers, opened(handlers, photo), painted, **FAST))
    assert "MemoryError" in caplog.text


def test_one_is_prepared_at_a_time(
    handlers: Handlers, photo: str, painted: str, studies: list[str]
) -> None:
    session = opened(handlers, photo)
    begun, go = threading.Event(), threading.Event()
    busy = threading.Thread(
        target=handlers.backend._worker.submit, args=(lambda: [begun.set(), go.wait(30)],)
    )
    busy.start()
    assert begun.wait(10)
    first = threading.Thread(target=ahead, args=(handlers, session, painted), kwargs=FAST)
    first.start()
    until = time.monotonic() + 10
    while not handlers.backend._warming.locked() and time.monotonic() < until:
        time.sleep(0.01)
    ahead(handlers, session, painted, **FAST)  # does not wait
    assert not studies
    go.set()
    for thread in (first, busy):
        thread.join(30)
    assert len(studies) == 1
