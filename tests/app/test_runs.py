"""A run from the window's callbacks, without a browser: real engine, tiny networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app import views
from app.canvas import file_of
from app.handlers import Handlers
from app.painter import Painter
from app.runs import TICKET
from app.session import Session
from engine.errors import EngineError, ImageError, MaskError, RequestError
from engine.events import ScaleDone
from engine.picture.files import open_image, read_request
from tests.app.visit import a_ticket, last, opened, shown
from tests.tiny import tiny_editor


def test_a_run_shows_every_scale_and_ends_with_a_result(
    handlers: Handlers, photo: str, painted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handlers.runs, "_newer", lambda job: {})  # a page that keeps up
    add = Painter.add

    def add_and_wait(painter: Painter, event: ScaleDone) -> None:  # and a model that takes its time
        add(painter, event)
        painter.finish()

    monkeypatch.setattr(Painter, "add", add_and_wait)
    session = opened(handlers, photo)
    screens = shown(handlers, session, painted, seed="7", variations=2)
    texts = [str(screen.get("status", "")) for screen in screens]
    assert any("Scale 1 of 3" in text for text in texts)
    assert any("Scale 2 of 3" in text for text in texts)
    assert "Done" in texts[-1]
    after = screens[-1]["session"]
    assert sorted(v.seed for v in after.results) == [7, 8]
    assert len(after.result.run.grown) == 3


def test_pixels_outside_the_mask_are_the_photos(
    handlers: Handlers, photo: str, painted: str
) -> None:
    session = shown(handlers, opened(handlers, photo), painted, seed="1")[-1]["session"]
    before, after = np.asarray(open_image(photo)), np.asarray(session.outcome.image)
    differs = (before != after).any(axis=2)
    assert differs[10:30, 20:40].any()
    differs[10:30, 20:40] = False
    assert not differs.any()


def test_the_window_makes_the_same_bytes_as_python(
    handlers: Handlers, photo: str, painted: str
) -> None:
    session = shown(handlers, opened(handlers, photo), painted, seed="3")[-1]["session"]
    saved = last(handlers.saving.picture("PNG", session))["file"]
    mask = np.zeros((40, 60), bool)
    mask[10:30, 20:40] = True
    from engine.request.options import EditOptions

    result = tiny_editor().inpaint(open_image(photo), mask, options=EditOptions(seed=3))
    assert Path(saved).read_bytes() == result.png(0)
    request = read_request(open_image(saved))
    assert request is not None and '"seed":3' in request


@pytest.mark.parametrize(
    ("fields", "error", "words"),
    [
        ({"painted": ""}, MaskError, "mask is empty"),
        ({"task": "edit_class"}, RequestError, "choose a class first"),
        ({"seed": "many"}, RequestError, "seed"),
        ({"variations": 99}, RequestError, "variations"),
        ({"top-p": "2"}, RequestError, "top_p"),
        ({"task": "outpaint", "extend-right": "-5"}, RequestError, "must not be negative"),
        ({"task": "outpaint"}, RequestError, "outpaint needs an amount"),
        ({"task": "generate", "label": "unicorn"}, RequestError, "unicorn"),
    ],
)
def test_mistakes_are_engine_errors(
    handlers: Handlers, photo: str, painted: str, fields: dict[str, Any],
    error: type[EngineError], words: str,
) -> None:  # fmt: skip
    given = {"painted": painted, **fields}
    with pytest.raises(error, match=words):
        shown(handlers, opened(handlers, photo), **given)


def test_a_run_without_a_picture_says_what_to_do(handlers: Handlers) -> None:
    with pytest.raises(ImageError, match="open one"):
        shown(handlers, Session(), [])


def test_after_an_error_the_next_run_works(
    handlers: Handlers, photo: str, painted: str
) -> None:
    session = opened(handlers, photo)
    with pytest.raises(MaskError):
        shown(handlers, session, [])
    assert shown(handlers, session, painted)[-1]["session"].outcome is not None


def test_generate_needs_no_picture(handlers: Handlers) -> None:
    session = shown(handlers, Session(), [], "generate", "bird")[-1]["session"]
    assert session.outcome.image.size == (32, 32)


def test_outpainting_compares_with_the_picture_in_its_place(
    handlers: Handlers, photo: str
) -> None:
    fields = {"extend-right": "50%", "seed": "1"}
    screen = shown(handlers, opened(handlers, photo), [], "outpaint", **fields)[-1]
    variation = screen["session"].result
    before, after = (
        open_image(file_of(url))
        for url in (views.before_url(variation), views.picture_url(variation.held))
    )
    assert before.size == after.size == (90, 40)
    assert np.array_equal(np.asarray(before)[:, :60], np.asarray(after)[:, :60])


def test_cancel_ends_a_run_within_one_scale_and_frees_the_model(
    handlers: Handlers, photo: str
) -> None:
    session = opened(handlers, photo)
    ticket = a_ticket()
    fields = {"extend-right": "400%", "variations": 4}
    screens = handlers.runs.run(ticket, "", session, "outpaint", None, None, **fields)
    for screen in screens:
        if "Frame" in str(screen.get("status")):
            break
    assert not list(handlers.runs.cancel(ticket, session)), "the run says itself that it has ended"
    rest = list(screens)
    assert len(rest) == 1 and "Cancelled" in rest[0]["status"]
    assert rest[0]["run"]["interactive"] and "session" not in rest[0]
    with handlers.backend.alone():
        pass


def test_a_run_cancelled_while_it_waits_never_begins(
    handlers: Handlers, photo: str, painted: str
) -> None:
    session = opened(handlers, photo)
    ticket = a_ticket()
    assert "Cancelled" in last(handlers.runs.cancel(ticket, session))["status"]
    assert list(handlers.runs.run(ticket, painted, session, "inpaint", None, None)) == []
    assert shown(handlers, session, painted)[-1]["session"].outcome is not None


def test_a_run_that_is_over_is_not_cancelled(handlers: Handlers, photo: str, painted: str) -> None:
    session, ticket = opened(handlers, photo), a_ticket()
    list(handlers.runs.run(ticket, painted, session, "inpaint", None, None))
    assert not list(handlers.runs.cancel(ticket, session))


def test_a_page_cannot_take_the_name_of_a_run(handlers: Handlers, photo: str, painted: str) -> None:
    session, ticket = opened(handlers, photo), a_ticket()
    names = [
        next(iter(handlers.runs.run(name, painted, session, "inpaint", None, None)))["ticket"]
        for name in (ticket, ticket, "x", "")
    ]
    assert names[0] == ticket and len(set(names)) == 4
    assert all(TICKET.fullmatch(name) for name in names)


def test_cancel_in_one_window_leaves_the_other_alone(
    handlers: Handlers, photo: str, painted: str
) -> None:
    session = opened(handlers, photo)
    mine = a_ticket()
    others = a_ticket()
    last(handlers.runs.cancel(mine, session))
    screens = list(handlers.runs.run(others, painted, session, "inpaint", None, None))
    assert screens[-1]["session"].outcome is not None
