"""A page that is opened again goes on with its picture, its settings and its run."""

from __future__ import annotations

import time
from pathlib import Path
from threading import Thread
from typing import Any

import gradio as gr
import pytest

from app import runs as runs_module
from app.handlers import Handlers
from app.runs import Job, Runs
from tests.app.layers import layer
from tests.app.visit import LEFT, RIGHT, a_ticket, begin, remembered, run
from tests.app.waiting import becomes_free


def test_a_page_that_is_opened_again_finds_picture_mask_history_settings_and_results(
    handlers: Handlers, photo: str, tmp_path: Path
) -> None:
    session = begin(handlers, photo)
    session = run(handlers, session, layer(LEFT), seed="3", variations=2)
    session = remembered(handlers, handlers.use("inpaint", "", session))[-1]["session"]
    fields = {"task": "edit_class", "label": "bird", "seed": "12", "variations": 4}
    screens = remembered(handlers, handlers.opened({"key": session.key, "fields": fields}))
    first, back = screens[0], screens[0]["session"]
    assert back.key != session.key and back.key in first["key"]
    assert (len(back.moments), back.at) == (2, 1)
    assert back.undone().picture.mask.getbbox() == LEFT
    assert [v.seed for v in back.results] == [3, 4]
    assert (first["task"], first["seed"], first["variations"]) == ("edit_class", "12", 4)
    assert first["results"]["visible"] and first["region-box"]["visible"]
    assert back.version == session.version + 1  # or the canvas would stay empty
    assert f'data-version="{back.version}"' in first["facts"] and first["shown"] == (60, 40)
    assert first["label"]["value"] == "bird"  # at once, or the new task would forget it


def test_the_format_of_files_is_recalled_if_there_is_such_a_one(handlers: Handlers) -> None:
    for given, recalled in (("JPEG (small)", True), ("BMP", False)):
        screens = remembered(handlers, handlers.opened({"fields": {"format": given}}))
        assert screens[0].get("format") == (given if recalled else None)


def test_a_slider_that_ends_with_the_models_scales_keeps_what_a_page_recalls(
    handlers: Handlers,
) -> None:
    scales = len(handlers.backend.card(handlers.backend.chosen).scales)
    plain = remembered(handlers, handlers.opened(None))[0]["composition"]
    assert plain["maximum"] == scales and "value" not in plain
    screens = remembered(handlers, handlers.opened({"fields": {"composition": "2"}}))
    assert screens[0]["composition"] == gr.update(maximum=scales, value=2)


@pytest.mark.parametrize("recalled", [None, 7, {}, {"key": 7}, {"key": "guessed", "fields": 7},
                                      {"key": None, "mask": "x", "version": "y"}])  # fmt: skip
def test_a_page_that_recalls_nothing_or_nonsense_begins_anew(
    handlers: Handlers, recalled: Any
) -> None:
    screens = remembered(handlers, handlers.opened(recalled))
    assert screens[0]["session"].current is None and screens[0]["task"] == "inpaint"
    assert "Open a picture" in screens[-1]["status"]


def test_a_run_goes_on_for_the_page_that_is_opened_again(
    handlers: Handlers, photo: str, tmp_path: Path
) -> None:
    session = begin(handlers, photo)
    ticket = a_ticket()
    fields = {"extend-right": "200%", "seed": "5"}
    left = handlers.runs.run(ticket, "", session, "outpaint", None, None, **fields)
    remembered(handlers, (next(left) for _ in range(2)))
    left.close()  # the page is reloaded
    screens = remembered(handlers, handlers.opened({"key": session.key}))
    assert screens[-1]["session"].result.seed == 5
    assert "Done" in screens[-1]["status"]
    assert any(screen.get("ticket") == ticket for screen in screens)


def test_a_run_that_ends_while_its_page_is_going_is_shown_by_the_next(
    handlers: Handlers, photo: str
) -> None:
    """The old page is told the result, but is gone before it can show it."""
    session = begin(handlers, photo)
    ticket = a_ticket()
    old = handlers.runs.run(ticket, layer(LEFT), session, "inpaint", None, None, seed="5")
    remembered(handlers, (next(old) for _ in range(1)))
    # with a mask that it recalls, as a refreshed page does
    painted = {"mask": layer(RIGHT), "version": session.version}
    new = handlers.opened({"key": session.key, **painted})
    screens = remembered(handlers, (next(new) for _ in range(1)))
    assert screens[0]["session"].outcome is None
    told = Thread(target=lambda: list(old))  # nobody remembers what it shows
    told.start()
    screens += remembered(handlers, new)
    told.join()
    assert screens[-1]["session"].result.seed == 5
    assert screens[-1]["session"].key == screens[0]["session"].key != session.key
    assert screens[-1]["session"].version == screens[0]["session"].version
    assert "Done" in screens[-1]["status"] and screens[-1]["run"]["interactive"]
    assert not handlers.runs._jobs


def test_a_run_whose_page_does_not_come_back_ends(
    handlers: Handlers, photo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs_module, "GRACE", 0.05)
    session = begin(handlers, photo)
    ticket = a_ticket()
    fields = {"extend-right": "400%", "extend-bottom": "400%", "variations": 8}
    left = handlers.runs.run(ticket, "", session, "outpaint", None, None, **fields)
    next(left)
    next(left)
    job = handlers.runs._jobs[ticket]
    left.close()
    assert becomes_free(handlers.backend, 60)
    assert not handlers.runs._jobs
    assert not any(kind == "result" for kind, _ in job.news.queue), "it went on to its end"


def test_a_duplicated_page_does_not_take_the_run_of_the_other(
    handlers: Handlers, photo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs_module, "TAKE_OVER", 0.05)
    session = begin(handlers, photo)
    ticket = a_ticket()
    here = handlers.runs.run(ticket, "", session, "outpaint", None, None, **{"extend-right": "50%"})
    remembered(handlers, (next(here) for _ in range(1)))
    other = remembered(handlers, handlers.opened({"key": session.key}))
    assert not any("ticket" in screen for screen in other)
    assert "Done" in remembered(handlers, here)[-1]["status"]


def test_what_happens_during_a_run_is_not_undone_by_its_end(
    handlers: Handlers, photo: str, tmp_path: Path
) -> None:
    session = begin(handlers, photo)
    session = run(handlers, session, layer(LEFT), seed="1")
    session = remembered(handlers, handlers.use("inpaint", "", session))[-1]["session"]
    ticket = a_ticket()
    under_way = handlers.runs.run(ticket, layer(RIGHT), session, "inpaint", None, None)
    next(under_way)
    started = handlers.store.latest(session)
    remembered(handlers, handlers.undo("", started))
    after = remembered(handlers, under_way)[-1]["session"]
    assert after.at == 0 and len(after.moments) == 2
    assert after.result.base.same(started.moments[1])


def test_a_page_that_was_busy_is_told_the_newest_only() -> None:
    job = Job("key")
    for number in range(3):
        job.news.put(("step", {"preview": number, f"only-{number}": True}))
    job.news.put(("end", None))
    newest = {"preview": 2, "only-0": True, "only-1": True, "only-2": True}
    assert Runs._newer(job) == newest
    assert job.news.get() == ("end", None)
    assert Runs._newer(job) == {}


def test_a_run_in_line_says_how_many_are_before_it(
    handlers: Handlers, photo: str, tmp_path: Path
) -> None:
    session = begin(handlers, photo)
    ticket = a_ticket()
    waiting = handlers.runs.run(ticket, layer(LEFT), session, "inpaint", None, None)
    with handlers.backend.alone():
        texts = [str(next(waiting)["status"]) for _ in range(2)]
        assert "1 run is before yours" in texts[1]
        list(handlers.runs.cancel(ticket, session))
        assert "Cancelled" in next(waiting)["status"]  # at once, not when the other has ended
    end = time.monotonic() + 10
    while len(handlers.backend.line) and time.monotonic() < end:
        time.sleep(0.01)
    assert not len(handlers.backend.line)
