"""The window's callbacks, without a browser: history, masks, files, tasks, and errors in words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from PIL import Image, ImageFilter, JpegImagePlugin

from app.backend import Local
from app.handlers import ASPECTS, Handlers, aspect_margins
from app.saving import FORMATS
from app.screens import Screen
from app.session import Session
from app.words import in_words
from engine.errors import ImageError, MaskError, RequestError
from engine.picture.files import open_image, read_request
from tests.app.layers import layer, shape_of
from tests.app.visit import last, opened, shown
from tests.pictures import noisy_rgb
from tests.tiny import tiny_editor


def test_use_undo_redo_and_jump(handlers: Handlers, photo: str, painted: str) -> None:
    session = shown(handlers, opened(handlers, photo), painted)[-1]["session"]
    used = last(handlers.use("inpaint", "", session))
    assert used["undo"]["interactive"] and not used["redo"]["interactive"]
    undone = last(handlers.undo("", used["session"]))
    assert undone["redo"]["interactive"]
    assert undone["session"].current.mask.getbbox() == (20, 10, 40, 30)
    redone = last(handlers.redo("", undone["session"]))
    assert redone["session"].at == 1
    assert last(handlers.jump(0, "", redone["session"]))["session"].at == 0


def test_the_last_mask_comes_back(handlers: Handlers, photo: str, painted: str) -> None:
    session = shown(handlers, opened(handlers, photo), painted)[-1]["session"]
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
        assert "session" not in screen and "facts" not in screen
    wrong = layer((0, 0, 5, 5), size=(7, 7))  # the canvas went wrong: clearing mends it
    mended = last(handlers.masks.change("clear", wrong, session))
    assert mended["session"].version == session.version + 1
    with pytest.raises(MaskError, match="press Clear mask"):
        list(handlers.masks.change("invert", wrong, session))


@pytest.mark.parametrize(("form", "suffix"), [(form, kind[0]) for form, kind in FORMATS.items()])
def test_downloads_are_full_size_in_every_format(
    handlers: Handlers, photo: str, painted: str, form: str, suffix: str
) -> None:
    screens = shown(handlers, opened(handlers, photo), painted, seed="5", variations=1)
    session = screens[-1]["session"]
    path = Path(last(handlers.saving.picture(form, session))["file"])
    assert path.name == f"photo-inpaint-5{suffix}"
    saved = open_image(path)
    assert saved.size == (60, 40)
    exact = np.asarray(session.result.image).astype(int)
    apart = np.abs(np.asarray(saved).astype(int) - exact).max()
    assert bool(apart == 0) is (form in ("PNG", "WebP (lossless)")), apart
    if form == "JPEG (best)":
        with Image.open(path) as written:
            assert JpegImagePlugin.get_sampling(written) == 0, "4:4:4"


def test_changing_the_picture_moves_the_download_with_it(
    handlers: Handlers, photo: str, painted: str
) -> None:
    session = shown(handlers, opened(handlers, photo), painted, seed="5")[-1]["session"]
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
    assert screen["label"]["label"] == "Class (optional)"
    screen = last(handlers.task_changed("generate", "", "set", None, Session()))
    assert not screen["sides"]["visible"]
    assert screen["label"]["label"] == "Class"
    assert screen["label"]["value"] == ""
    assert "choices" not in screen["label"], "somebody may be searching them"
    screen = last(handlers.task_changed("generate", "", "", None, Session()))
    assert "value" not in screen["label"]  # somebody may have chosen one by now


def test_a_thing_is_listed_with_its_kind_and_asked_for_by_its_name(
    photo: str, painted: str
) -> None:
    models = Local()
    models.add(tiny_editor({"bird": ["boat"]}), first=True)
    handlers = Handlers(models)
    screen = last(handlers.opened({"fields": {"task": "edit_class", "label": "boat"}}))
    assert ("boat (bird)", "boat") in screen["label"]["choices"]
    assert screen["label"]["choices"][:2] == [("No class", ""), ("bird", "bird")]
    assert screen["label"]["value"] == "boat"
    session = shown(handlers, opened(handlers, photo), painted, "edit_class", "boat")[-1]["session"]
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
