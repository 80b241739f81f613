"""The window's callbacks, without a browser: real engine, tiny networks."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from PIL import Image, ImageFilter, JpegImagePlugin

from app import views
from app.backend import Local
from app.canvas import file_of
from app.handlers import ASPECTS, Handlers, aspect_margins
from app.saving import FORMATS
from app.screens import Screen
from app.session import Session
from app.words import in_words
from engine.errors import EngineError, ImageError, MaskError, RequestError
from engine.picture.files import open_image, read_request
from tests.app.layers import layer, shape_of
from tests.app.waiting import becomes_free
from tests.pictures import noisy_rgb
from tests.tiny import tiny_editor


@pytest.fixture
def photo(tmp_path: Path) -> str:
    path = tmp_path / "photo.jpg"
    noisy_rgb(60, 40).save(path)
    return str(path)


@pytest.fixture
def painted() -> str:
    return layer((20, 10, 40, 30))


def last(screens: Iterator[Screen]) -> Screen:
    return list(screens)[-1]


def opened(handlers: Handlers, photo: str) -> Session:
    return last(handlers.open_picture(photo, "", "inpaint", Session()))["session"]


def run(handlers: Handlers, session: Session, painted: str, task: str = "inpaint",
        label: str | None = None, **fields: Any) -> list[Screen]:  # fmt: skip
    ticket = last(handlers.runs.prepare("", session))["ticket"]
    return list(handlers.runs.run(ticket, painted, session, task, label, None, **fields))


def test_a_run_shows_every_scale_and_ends_with_a_result(
    handlers: Handlers, photo: str, painted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handlers.runs, "_newer", lambda job: {})  # a page that keeps up
    session = opened(handlers, photo)
    screens = run(handlers, session, painted, seed="7", variations=2)
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
    session = run(handlers, opened(handlers, photo), painted, seed="1")[-1]["session"]
    before, after = np.asarray(open_image(photo)), np.asarray(session.outcome.image)
    differs = (before != after).any(axis=2)
    assert differs[10:30, 20:40].any()
    differs[10:30, 20:40] = False
    assert not differs.any()


def test_the_window_makes_the_same_bytes_as_python(
    handlers: Handlers, photo: str, painted: str
) -> None:
    session = run(handlers, opened(handlers, photo), painted, seed="3")[-1]["session"]
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
        run(handlers, opened(handlers, photo), **given)


def test_a_run_without_a_picture_says_what_to_do(handlers: Handlers) -> None:
    with pytest.raises(ImageError, match="open one"):
        run(handlers, Session(), [])


def test_after_an_error_the_next_run_works(
    handlers: Handlers, photo: str, painted: str
) -> None:
    session = opened(handlers, photo)
    with pytest.raises(MaskError):
        run(handlers, session, [])
    assert run(handlers, session, painted)[-1]["session"].outcome is not None


def test_generate_needs_no_picture(handlers: Handlers) -> None:
    session = run(handlers, Session(), [], "generate", "bird")[-1]["session"]
    assert session.outcome.image.size == (32, 32)


def test_outpainting_compares_with_the_picture_in_its_place(
    handlers: Handlers, photo: str
) -> None:
    fields = {"extend-right": "50%", "seed": "1"}
    screen = run(handlers, opened(handlers, photo), [], "outpaint", **fields)[-1]
    before, after = (
        open_image(file_of(url(screen["session"].result)))
        for url in (views.before_url, views.after_url)
    )
    assert before.size == after.size == (90, 40)
    assert np.array_equal(np.asarray(before)[:, :60], np.asarray(after)[:, :60])


def test_cancel_ends_a_run_within_one_scale_and_frees_the_model(
    handlers: Handlers, photo: str
) -> None:
    session = opened(handlers, photo)
    ticket = last(handlers.runs.prepare("", session))["ticket"]
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
    ticket = last(handlers.runs.prepare("", session))["ticket"]
    assert "Cancelled" in last(handlers.runs.cancel(ticket, session))["status"]
    assert list(handlers.runs.run(ticket, painted, session, "inpaint", None, None)) == []


def test_cancel_in_one_window_leaves_the_other_alone(
    handlers: Handlers, photo: str, painted: str
) -> None:
    session = opened(handlers, photo)
    mine = last(handlers.runs.prepare("", session))["ticket"]
    others = last(handlers.runs.prepare("", session))["ticket"]
    last(handlers.runs.cancel(mine, session))
    screens = list(handlers.runs.run(others, painted, session, "inpaint", None, None))
    assert screens[-1]["session"].outcome is not None


def test_a_window_that_goes_away_stops_its_run(handlers: Handlers, photo: str) -> None:
    session = opened(handlers, photo)
    ticket = last(handlers.runs.prepare("", session))["ticket"]
    fields = {"extend-right": "400%", "variations": 4}
    screens = handlers.runs.run(ticket, "", session, "outpaint", None, None, **fields)
    next(screens)
    next(screens)
    screens.close()
    assert becomes_free(handlers.backend, 20)


def test_use_undo_redo_and_jump(handlers: Handlers, photo: str, painted: str) -> None:
    session = run(handlers, opened(handlers, photo), painted)[-1]["session"]
    used = last(handlers.use("inpaint", "", session))
    assert used["undo"]["interactive"] and not used["redo"]["interactive"]
    undone = last(handlers.undo("", used["session"]))
    assert undone["redo"]["interactive"]
    assert undone["session"].current.mask.getbbox() == (20, 10, 40, 30)
    redone = last(handlers.redo("", undone["session"]))
    assert redone["session"].at == 1
    assert last(handlers.jump(0, "", redone["session"]))["session"].at == 0


def test_the_last_mask_comes_back(handlers: Handlers, photo: str, painted: str) -> None:
    session = run(handlers, opened(handlers, photo), painted)[-1]["session"]
    session = last(handlers.use("inpaint", "", session))["session"]
    back = last(handlers.masks.last("", session))
    assert shape_of(back["shape"]).getbbox() == (20, 10, 40, 30) and 'whole="1"' in back["shape"]


def test_a_mask_goes_out_and_comes_back_in(
    handlers: Handlers, photo: str, painted: str
) -> None:
    session = opened(handlers, photo)
    file = last(handlers.masks.export(painted, session))["file"]
    assert open_image(file).size == (60, 40)
    back = last(handlers.masks.take(file, "", session))
    assert shape_of(back["shape"]).getbbox() == (20, 10, 40, 30)


def test_a_photograph_as_a_mask_is_asked_about_and_soft_edges_are_not(
    handlers: Handlers, photo: str, tmp_path: Path
) -> None:
    session = opened(handlers, photo)
    asked = last(handlers.masks.take(photo, "", session))
    assert "looks like a photograph" in asked["status"] and "data-ask" in asked["shape"]
    soft = Image.new("L", (60, 40), 0)
    soft.paste(255, (20, 10, 40, 30))
    soft.filter(ImageFilter.GaussianBlur(2)).save(tmp_path / "soft.png")
    taken = last(handlers.masks.take(str(tmp_path / "soft.png"), "", session))
    assert "data-ask" not in taken["shape"]


def test_a_change_of_the_mask_is_a_step_of_the_editors_own(
    handlers: Handlers, photo: str, painted: str
) -> None:
    """So that undoing it brings back strokes that are steps: the picture is not mounted anew."""
    session = opened(handlers, photo)
    for how, box in (("invert", (0, 0, 60, 40)), ("clear", None), ("grow", (18, 8, 42, 32))):
        screen = last(handlers.masks.change(how, painted, session))
        assert shape_of(screen["shape"]).getbbox() == box, how
        assert "session" not in screen and "version" not in screen
    wrong = layer((0, 0, 5, 5), size=(7, 7))  # the canvas went wrong: clearing mends it
    mended = last(handlers.masks.change("clear", wrong, session))
    assert mended["session"].version == session.version + 1
    with pytest.raises(MaskError, match="press Clear mask"):
        list(handlers.masks.change("invert", wrong, session))


@pytest.mark.parametrize(("form", "suffix"), [(form, kind[0]) for form, kind in FORMATS.items()])
def test_downloads_are_full_size_in_every_format(
    handlers: Handlers, photo: str, painted: str, form: str, suffix: str
) -> None:
    session = run(handlers, opened(handlers, photo), painted, seed="5", variations=1)[-1]["session"]
    path = Path(last(handlers.saving.picture(form, session))["file"])
    assert path.name == f"photo-inpaint-5{suffix}"
    saved = open_image(path)
    assert saved.size == (60, 40)
    shown = np.asarray(session.result.image).astype(int)
    apart = np.abs(np.asarray(saved).astype(int) - shown).max()
    assert bool(apart == 0) is (form in ("PNG", "WebP (lossless)")), apart
    if form == "JPEG (best)":
        with Image.open(path) as written:
            assert JpegImagePlugin.get_sampling(written) == 0, "4:4:4"


def test_changing_the_picture_moves_the_download_with_it(
    handlers: Handlers, photo: str, painted: str
) -> None:
    session = run(handlers, opened(handlers, photo), painted, seed="5")[-1]["session"]
    session = last(handlers.use("inpaint", "", session))["session"]
    used = last(handlers.saving.picture("PNG", session))["file"]
    assert '"seed":5' in (read_request(open_image(used)) or "")


def test_files_that_are_no_pictures_are_told_by_name(handlers: Handlers, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no picture")
    with pytest.raises(ImageError, match=r"^notes\.txt"):
        list(handlers.open_picture(str(path), "", "inpaint", Session()))
    noisy_rgb(60, 40).save(tmp_path / "photo.png")
    session = opened(handlers, str(tmp_path / "photo.png"))
    with pytest.raises(ImageError, match=r"^notes\.txt"):
        list(handlers.masks.take(str(path), "", session))


def test_tasks_show_what_they_need(handlers: Handlers) -> None:
    screen = last(handlers.task_changed("outpaint", "bird", "set", None, Session()))
    assert screen["sides"]["visible"]
    assert screen["label"]["value"] == "bird"
    assert screen["label"]["choices"][0][1] == ""
    screen = last(handlers.task_changed("generate", "", "set", None, Session()))
    assert not screen["sides"]["visible"]
    assert screen["label"]["choices"][0] == ("Choose a class …", "")
    assert screen["label"]["value"] == ""
    screen = last(handlers.task_changed("generate", "", "", None, Session()))
    assert "value" not in screen["label"]  # somebody may have chosen one by now


def test_a_thing_is_listed_with_its_kind_and_asked_for_by_its_name(
    photo: str, painted: str
) -> None:
    models = Local()
    models.add(tiny_editor({"bird": ["boat"]}), first=True)
    handlers = Handlers(models)
    screen = last(handlers.task_changed("edit_class", "boat", "set", None, Session()))
    assert ("boat (bird)", "boat") in screen["label"]["choices"]
    assert screen["label"]["choices"][1] == ("bird", "bird")
    assert screen["label"]["value"] == "boat"
    session = run(handlers, opened(handlers, photo), painted, "edit_class", "boat")[-1]["session"]
    assert session.result.request.label == "boat"


@pytest.mark.parametrize("ratio", ASPECTS.values())
@pytest.mark.parametrize("size", [(100, 100), (640, 480), (33, 700)])
def test_aspects_extend_and_never_crop(size: tuple[int, int], ratio: float) -> None:
    left, right, top, bottom = aspect_margins(*size, ratio)
    assert min(left, right, top, bottom) >= 0
    width, height = size[0] + left + right, size[1] + top + bottom
    assert abs(width - ratio * height) <= max(1, ratio)


def test_errors_become_words_in_the_status_line_and_a_toast() -> None:
    def fails() -> Iterator[Screen]:
        raise RequestError("no <b>class</b> of that name")
        yield {}

    screens = in_words(fails)()
    status = next(screens)["status"]
    assert "No &lt;b&gt;class" in status and "error" in status
    with pytest.raises(gr.Error) as told:
        next(screens)
    assert "&lt;b&gt;" in str(told.value.message)


def test_what_breaks_inside_is_told_without_its_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fails() -> Iterator[Screen]:
        raise ZeroDivisionError("secret path")
        yield {}

    screens = in_words(fails)()
    status = next(screens)["status"]
    assert "ZeroDivisionError" in status and "secret" not in status
    with pytest.raises(gr.Error):
        next(screens)
    assert "secret path" in caplog.text


# ---- ahead of an edit ----------------------------------------------------------------------------


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
    run(handlers, session, painted, **FAST)
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
