"""The benchmark of the window does what a person does, and sees the end of each step."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from engine import RequestError
from engine.benchmark import at_rest, in_browser
from tests.browser.chromium import Chromium
from tests.browser.conftest import SIZE

pytestmark = pytest.mark.browser


def test_each_step_of_an_edit_is_timed_to_its_end(
    chromium: Chromium, address: str, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_browser, "SIZE", SIZE)
    monkeypatch.setattr(in_browser, "HOLE", (100, 60, 160, 120))
    monkeypatch.setattr(in_browser, "REPEATS", 1)
    seconds = in_browser._as_a_person(chromium, address, photo)
    sight, painted, *rest = seconds
    assert (sight, painted) == ("open, to the first sight", "open, until it can be painted")
    assert rest == ["Run, to the result", "Use this", "Undo"]
    assert all(len(taken) == 1 and taken[0] > 0 for taken in seconds.values())
    assert seconds[sight] <= seconds[painted]


def test_a_window_at_rest_is_measured_by_who_takes_it(
    chromium: Chromium, address: str, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_browser, "RESTS", 1)
    shares = in_browser._at_rest(chromium, address, photo)
    assert list(shares) == ["the page", "what draws it", "the server"]
    assert all(0 <= share < 1.5 for share in shares.values())


def test_where_no_process_can_be_read_nothing_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(at_rest, "PROCESSES", tmp_path / "none")
    assert at_rest.shares(0) == {}


def test_without_a_browser_the_benchmark_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(RequestError, match="Chromium"), in_browser._browser():
        pass
