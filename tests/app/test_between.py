"""Two handlers at the same time, and what is painted while the canvas turns to another picture."""

from __future__ import annotations

import pkgutil
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from app import canvas
from app.handlers import Handlers
from app.wiring import FORM, SHOWN, Wiring
from tests.app.layers import layer
from tests.app.visit import LEFT, a_ticket, begin, last, run


def wired(handlers: Handlers) -> Wiring:
    """Wiring whose events give back what Gradio would call."""
    return Wiring(handlers, defaultdict(object), None)


def event(call: Any, *_: Any, **__: Any) -> Any:
    return call


class Meanwhile:
    """Does something in a thread, and gives it time to do it at once if nothing holds it."""

    def __init__(self, work: Callable[[], object]) -> None:
        self.work, self.thread = work, threading.Thread(target=work)

    def __call__(self) -> None:
        self.thread.start()
        self.thread.join(0.3)


def test_what_one_handler_did_is_not_written_over_by_another(
    handlers: Handlers, photo: str
) -> None:
    session = begin(handlers, photo)
    order = []
    entered = threading.Event()

    def slow() -> None:
        with handlers.store.turn(session) as mine:
            entered.set()
            time.sleep(0.2)
            handlers.store.put(mine.edited(mine.picture.image, "first"))
            order.append("first")

    thread = threading.Thread(target=slow)
    thread.start()
    entered.wait()
    with handlers.store.turn(session) as mine:
        order.append("second")
        handlers.store.put(mine.edited(mine.picture.image, "second"))
    thread.join()
    captions = [moment.caption for moment in handlers.store.latest(session).moments]
    assert order == ["first", "second"] and captions[-2:] == ["first", "second"]


def test_handlers_work_on_the_newest_session_of_their_window(
    handlers: Handlers, photo: str
) -> None:
    session = begin(handlers, photo)
    handlers.store.put(session.edited(session.picture.image, "meanwhile"))
    page = wired(handlers)
    for alone in (True, False):
        undo = page.on(event, handlers.undo, ["mask", "session"], alone=alone)
        (values,) = undo("", session)
        after = values[SHOWN.index("session")]
        assert [moment.caption for moment in after.moments][1:] == ["meanwhile"]
        handlers.store.put(handlers.store.latest(session).redone())


def test_a_handler_with_nothing_to_say_leaves_the_page_as_it_is(handlers: Handlers) -> None:
    """Of no answer Gradio makes one that empties every element, the task and the picture too."""
    page = wired(handlers)
    cancel = page.on(event, handlers.runs.cancel, ["ticket", "session"], alone=False)
    (values,) = cancel("no ticket", begin(handlers))
    assert all(value == gr.skip() for value in values)


def test_unsent_strokes_stay_with_their_picture(handlers: Handlers, photo: str) -> None:
    session = begin(handlers, photo)
    session = last(handlers.open_picture(photo, "", "inpaint", session))["session"]
    painted = f"{session.version} {layer(LEFT)}"
    session = last(handlers.undo(painted, session))["session"]
    assert session.moments[1].mask is not None and session.picture.mask is None
    late = f"{session.version - 1} {layer(LEFT)}"  # the page has not heard of it yet
    session = last(handlers.redo(late, session))["session"]
    assert session.moments[0].mask is None and session.picture.mask is not None
    blank = last(handlers.undo("", session))["session"]  # the canvas could not say
    assert blank.moments[1].mask is not None


def test_a_run_on_a_canvas_that_is_about_to_change_takes_what_will_be_on_it(
    handlers: Handlers, photo: str
) -> None:
    session = begin(handlers, photo)
    inverted = session.remasked(canvas.changed(None, (60, 40), "invert"))
    handlers.store.put(inverted)
    ticket = a_ticket()
    painted = f"{session.version} {layer(LEFT)}"
    *_, end = handlers.runs.run(ticket, painted, inverted, "inpaint", None, None)
    base = end["session"].result.base
    assert base is not None and base.mask is not None
    assert np.array_equal(np.asarray(base.mask), np.asarray(inverted.picture.mask))


def test_the_class_of_a_generated_picture_is_not_for_its_next_edit(
    handlers: Handlers, photo: str
) -> None:
    session = begin(handlers, photo)
    session = run(handlers, session, "", "generate", "1")
    used = last(handlers.use("generate", "", session))
    assert (used["task"], used["label"]) == ("inpaint", "")
    assert "label" not in last(handlers.use("edit_class", "", session))
    assert last(handlers.open_picture(photo, "", "generate", session))["label"] == ""


def test_another_picture_opened_is_what_is_downloaded_though_a_variation_is_kept(
    handlers: Handlers, photo: str, tmp_path: Path
) -> None:
    session = run(handlers, begin(handlers, photo), layer(LEFT))
    session = last(handlers.keep(session))["session"]
    other = tmp_path / "other.png"
    Image.new("RGB", (50, 40), "red").save(other)
    screen = last(handlers.open_picture(str(other), "", "inpaint", session))
    session = screen["session"]
    assert not screen["results"]["visible"] and session.outcome is None and not session.shown
    with Image.open(last(handlers.saving.picture("PNG", session))["file"]) as saved:
        assert saved.size == (50, 40)
    session = last(handlers.undo("", session))["session"]
    session = last(handlers.choose(0, session))["session"]
    assert session.outcome in session.kept, "it is there again with its picture"


def test_a_page_that_has_gone_is_noticed_before_there_is_news(
    handlers: Handlers, photo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.runs.NOTHING_NEW", 0.02)
    session = begin(handlers, photo)
    ticket = a_ticket()
    waiting = handlers.runs.run(ticket, layer(LEFT), session, "inpaint", None, None)
    with handlers.backend.alone():
        while "In line" not in str(next(waiting).get("status")):
            pass
        assert next(waiting) == {}
        waiting.close()
        resumed = handlers.runs.resume(session.key, session)
        assert next(resumed)["ticket"] == ticket, "taken up at once"
    assert any("Done" in str(screen.get("status")) for screen in resumed)


@pytest.mark.parametrize("opens", [False, True])
def test_a_model_that_is_loaded_after_a_picture_was_opened_does_not_ask_for_one(
    handlers: Handlers, photo: str, monkeypatch: pytest.MonkeyPatch, opens: bool
) -> None:
    monkeypatch.setattr(handlers.backend, "ready", lambda *_: False)
    screens = handlers.opened()
    first = next(screens)
    handlers.store.put(first["session"])
    assert "loading" in first["status"]
    if opens:
        session = last(handlers.open_picture(photo, "", "inpaint", first["session"]))["session"]
        handlers.store.put(session)
    second = next(screens)
    assert ("status" in second) is not opens and second["label"]["choices"]


@pytest.mark.parametrize("place", ["app.runs.forms.with_mask", "app.runs.screens.of_finished"])
def test_a_run_does_not_write_over_what_is_done_as_it_begins_or_ends(
    handlers: Handlers, photo: str, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    session = begin(handlers, photo)
    page = wired(handlers)
    run_ = page.on(event, handlers.runs.run, ["ticket", "mask", *FORM[:4]], alone=False)
    jump = page.on(event, handlers.open_picture, ["open", "mask", "task", "session"])
    meanwhile = Meanwhile(lambda: list(jump(photo, "", "inpaint", session)))
    module, name = place.rsplit(".", 1)
    inner = pkgutil.resolve_name(place)

    def slow(*given: Any) -> Any:
        found = inner(*given)
        meanwhile()
        return found

    monkeypatch.setattr(pkgutil.resolve_name(module), name, slow)
    ticket = a_ticket()
    for _ in run_(ticket, layer(LEFT), session, "inpaint", None, None):
        pass
    meanwhile.thread.join()
    after = handlers.store.latest(session)
    assert len(after.moments) == 2 and after.moments[0].mask is not None
    assert not after.results, "another picture has none yet"


def test_a_click_waits_for_the_one_before_it(handlers: Handlers, photo: str) -> None:
    session = begin(handlers, photo)
    page = wired(handlers)

    def slow(session: Any) -> Any:
        meanwhile()
        yield {"session": session.edited(session.picture.image, "slow")}

    quick = page.on(event, handlers.open_picture, ["open", "mask", "task", "session"])
    meanwhile = Meanwhile(lambda: list(quick(photo, "", "inpaint", session)))
    list(page.on(event, slow, ["session"])(session))
    meanwhile.thread.join()
    captions = [moment.caption for moment in handlers.store.latest(session).moments]
    assert captions == ["Opened photo.jpg", "slow", "Opened photo.jpg"]
