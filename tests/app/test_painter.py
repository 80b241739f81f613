"""Looks at what is drawn: the newest first, the others made up for, what is raised is told."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from app import painter
from app.painter import Ladder, Painter
from engine.events import ScaleDone


def step(index: int, frame: int = 0) -> ScaleDone:
    return ScaleDone(index, 9, scale=index + 1, frame=frame, frames=2)


def looked(events: list[ScaleDone], monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """What is looked at when all come before the first look is over."""
    monkeypatch.setattr(painter, "FIRST", 0.0)
    come, seen = threading.Event(), list[tuple[str, int]]()

    def newest(event: ScaleDone) -> None:
        come.wait(10)
        seen.append(("newest", event.index))

    with Painter(newest, lambda event: seen.append(("older", event.index))) as paints:
        paints.add(events[0])
        while paints._last is None:  # until the first is being looked at
            pass
        for event in events[1:]:
            paints.add(event)
        come.set()
        paints.finish()
    return seen


def test_the_newest_is_looked_at_first_and_the_others_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = looked([step(index) for index in range(4)], monkeypatch)
    assert seen == [("newest", 0), ("newest", 3), ("older", 2), ("older", 1)]


def test_an_earlier_frame_is_not_looked_at_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = looked([step(0), step(1), step(2, 1), step(3, 1)], monkeypatch)
    assert seen == [("newest", 0), ("newest", 3), ("older", 2)]


def test_a_quick_model_is_looked_at_once_it_is_half_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(painter, "FIRST", 60)  # but no longer than until all are there
    seen: list[tuple[str, int]] = []
    with Painter(lambda e: seen.append(("newest", e.index)),
                 lambda e: seen.append(("older", e.index))) as paints:  # fmt: skip
        for index in range(3):
            paints.add(step(index))
        paints.finish()
    assert seen == [("newest", 2), ("older", 1), ("older", 0)]


def test_what_a_look_raises_is_raised_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(painter, "FIRST", 0.0)

    def fails(event: Any) -> None:
        raise MemoryError("no room")

    with Painter(fails, fails) as paints:
        paints.add(step(0))
        with pytest.raises(MemoryError):
            paints.finish()


def test_a_ladder_is_of_the_newest_frame_and_fills_its_gaps_with_what_came_next() -> None:
    ladder = Ladder()
    assert ladder.rungs == ()
    ladder.add(0, 1, "a")
    ladder.add(0, 4, "d")
    assert ladder.rungs == ("a", "d", "d", "d")
    ladder.add(0, 2, "b")
    assert ladder.rungs == ("a", "b", "d", "d")
    ladder.add(1, 2, "B")
    ladder.add(0, 3, "c")  # late, and of the frame before
    assert ladder.rungs == ("B", "B")
