"""The canvas's tools that ask the server: what they are sent, and what they answer."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app import canvas, original
from app.backend import Local
from app.moments import Moment
from app.session import Session
from app.tools import Tools
from engine.errors import EngineError
from engine.request import EditRequest
from engine.request.options import EditOptions
from tests.app import layers
from tests.app.layers import data_url

SIZE = (96, 64)


@pytest.fixture(scope="module")
def models(tiny_model_folder: Path) -> Local:
    models = Local(str(tiny_model_folder), "cpu")
    models.editor(None)
    return models


@pytest.fixture
def session() -> Session:
    image = Image.new("RGB", SIZE, (60, 120, 150))
    image.paste((220, 60, 40), (30, 20, 60, 44))
    return Session().opened(image, "a.png")


def gesture(session: Session, **fields: Any) -> str:
    return json.dumps({"id": 1, "version": session.version, **fields})


def shape_of(html: str) -> np.ndarray[Any, Any]:
    return np.asarray(layers.shape_of(html)) > 0


def small_mask(mask: Image.Image) -> str:
    stream = io.BytesIO()
    mask.convert("RGB").save(stream, "PNG")
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


def frames_of(screen: dict[str, Any]) -> list[list[int]]:
    found = re.search(r'data-frames="([^"]*)"', screen["sight"])
    assert found is not None
    frames: list[list[int]] = json.loads(found[1])
    return frames


def test_a_click_answers_with_the_things_shape(models: Local, session: Session) -> None:
    [screen] = Tools(models).pick(gesture(session, place=[0.45, 0.5], take=True), session)
    shape = shape_of(screen["shape"])
    thing = np.zeros((64, 96), bool)
    thing[20:44, 30:60] = True
    assert shape.shape == thing.shape
    assert (shape & thing).sum() / (shape | thing).sum() > 0.8
    assert 'data-take="1"' in screen["shape"] and f'version="{session.version}"' in screen["shape"]


def test_what_was_meant_for_another_picture_is_dropped(models: Local, session: Session) -> None:
    sent = gesture(session, place=[0.5, 0.5])
    assert not list(Tools(models).pick(sent, session.remounted()))
    stroke = gesture(session, points=[[0.5, 0.5]], radius=4)
    assert not list(Tools(models).paint_back(stroke, "", session.remounted()))


@pytest.mark.parametrize("sent", ["", "{}", "[1]", '{"id": 1, "version": 1, "place": [1e9, 0]}',
                                  '{"id": 1, "version": 1, "evil": 2}'])  # fmt: skip
def test_nonsense_is_told_in_words(models: Local, session: Session, sent: str) -> None:
    for callback in (
        Tools(models).pick(sent, session), Tools(models).paint_back(sent, "", session)
    ):  # fmt: skip
        with pytest.raises(EngineError, match="unreadable; reload"):
            list(callback)


def test_painting_back_is_a_step_of_the_history(models: Local, session: Session) -> None:
    source = np.asarray(session.picture.image)
    after = Image.effect_noise(SIZE, 80).convert("RGB")
    request = EditRequest(task="inpaint")
    session = session._push(0, Moment(session.vault.hold(after), "Edit", request=request))
    sent = gesture(session, points=[[0.1, 0.5], [0.9, 0.5]], radius=6)
    [screen] = Tools(models).paint_back(sent, "", session)
    session = screen["session"]
    assert (session.at, session.picture.caption) == (2, original.CAPTION)
    back = np.asarray(session.picture.image)
    mask = original.stroke([(0.1, 0.5), (0.9, 0.5)], 6, SIZE)
    assert np.array_equal(back[mask], source[mask])
    assert np.array_equal(back[~mask], np.asarray(after)[~mask])
    assert np.array_equal(np.asarray(session.undone().picture.image), np.asarray(after))


def test_quick_strokes_of_the_original_all_count(models: Local, session: Session) -> None:
    """The second is drawn before the page has heard of the first."""
    source = np.asarray(session.picture.image)
    after = Image.effect_noise(SIZE, 80).convert("RGB")
    request = EditRequest(task="inpaint")
    session = session._push(0, Moment(session.vault.hold(after), "Edit", request=request))
    sent = [gesture(session, points=[[x, 0.5]], radius=6) for x in (0.1, 0.5, 0.9)]
    for each in sent:
        [screen] = Tools(models).paint_back(each, "", session)
        session = screen["session"]
    back = np.asarray(session.picture.image)
    for x in (0.1, 0.5, 0.9):
        mask = original.stroke([(x, 0.5)], 6, SIZE)
        assert np.array_equal(back[mask], source[mask])
    for other in (session.undone(), session.jumped(1).jumped(3)):  # another canvas came between
        for late in (sent[0], gesture(session, points=[[0.5, 0.5]], radius=6)):
            assert not list(Tools(models).paint_back(late, "", other))


def test_painting_back_keeps_the_mask_and_the_regions(
    models: Local, session: Session, tmp_path: Path
) -> None:
    half, spot = Image.new("L", SIZE, 0), Image.new("L", SIZE, 0)
    half.paste(255, (0, 0, 48, 64))
    spot.paste(255, (60, 10, 80, 30))
    request = EditRequest(task="inpaint")
    after = Image.effect_noise(SIZE, 80).convert("RGB")
    session = session._push(0, Moment(session.vault.hold(after), "Edit", request=request))
    session = session.marked(half, "bird")
    painted = data_url(canvas.painted(spot))
    sent = gesture(session, points=[[0.1, 0.5], [0.9, 0.5]], radius=6)
    [screen] = Tools(models).paint_back(sent, painted, session)
    now = screen["session"].picture
    assert [region.label for region in now.regions] == ["bird"] and "bird" in screen["regions"]
    assert now.mask is not None and now.mask.getbbox() == (60, 10, 80, 30)
    assert now.request is None and now.caption == original.CAPTION
    sent = gesture(screen["session"], points=[[0.2, 0.2]], radius=3)
    [again] = Tools(models).paint_back(sent, painted, screen["session"])
    assert len(again["session"].picture.regions) == 1


def test_the_frame_is_where_the_model_will_look(models: Local, session: Session) -> None:
    mask = Image.new("L", SIZE, 0)
    mask.paste(255, (10, 10, 22, 20))
    painted = f"{session.version} {small_mask(mask)}"
    [screen] = Tools(models).sight(painted, session, "inpaint", None, context="8")
    request = EditRequest(
        task="inpaint", image=session.picture.image, mask=mask, options=EditOptions(context=8)
    )
    [window] = models.plan(request).windows
    assert frames_of(screen) == [[window.left, window.top, window.side]]
    [screen] = Tools(models).sight(painted, session, "inpaint", None, context="whole")
    assert frames_of(screen) == [[0, -16, 96]]


def test_the_frame_of_a_class_edit_is_where_the_class_is_drawn(
    models: Local, session: Session
) -> None:
    mask = Image.new("L", SIZE, 0)
    mask.paste(255, (20, 10, 60, 50))
    painted = f"{session.version} {small_mask(mask)}"
    found = {}
    for task, label in (("inpaint", None), ("edit_class", "bird")):
        [screen] = Tools(models).sight(painted, session, task, None, context="auto")
        request = EditRequest(task=task, image=session.picture.image, mask=mask, label=label)
        [window] = models.plan(request).windows
        found[task] = frames_of(screen)
        assert found[task] == [[window.left, window.top, window.side]]
        assert ("data-draws" in screen["sight"]) == (task == "edit_class")
    assert found["inpaint"] != found["edit_class"]


def test_the_frames_of_an_extension_are_placed_on_the_old_picture(
    models: Local, session: Session
) -> None:
    fields = {"extend-left": "32", "extend-right": "", "extend-top": "", "extend-bottom": "0"}
    [screen] = Tools(models).sight("", session, "outpaint", None, **fields)
    request = EditRequest(task="outpaint", image=session.picture.image, left=32)
    windows = models.plan(request).windows
    assert frames_of(screen) == [[w.left - 32, w.top, w.side] for w in windows]
    assert min(frame[0] for frame in frames_of(screen)) <= -32


def test_each_region_has_its_frames_beside_what_is_painted(
    models: Local, session: Session
) -> None:
    tools = Tools(models)
    one, two = Image.new("L", SIZE, 0), Image.new("L", SIZE, 0)
    one.paste(255, (4, 4, 10, 10))
    two.paste(255, (70, 40, 80, 60))
    alone = []
    for mask in (one, two):
        sent = f"{session.version} {small_mask(mask)}"
        [screen] = tools.sight(sent, session, "edit_class", None, context="4")
        alone += frames_of(screen)
    marked = session.marked(one, "bird")
    sent = f"{marked.version} {small_mask(two)}"
    [screen] = tools.sight(sent, marked, "edit_class", None, context="4")
    assert frames_of(screen) == alone and len(alone) == 2
    [screen] = tools.sight(sent, marked, "inpaint", None, context="4")
    assert frames_of(screen) == alone[1:]


@pytest.mark.parametrize(
    "painted", ["", "{v}", "{v} data:image/png;base64,AAAA", "{v} nonsense", "99 nonsense"]
)
def test_no_mask_and_half_typed_fields_give_no_frame(
    models: Local, session: Session, painted: str
) -> None:
    tools = Tools(models)
    painted = painted.format(v=session.version)
    [screen] = tools.sight(painted, session, "inpaint", None, context="auto")
    assert frames_of(screen) == []
    [screen] = tools.sight(painted, session, "outpaint", None, **{"extend-left": "1o0"})
    assert frames_of(screen) == []
    [screen] = tools.sight(painted, Session(), "inpaint", None)
    assert frames_of(screen) == []


def test_a_mask_of_a_large_picture_comes_small(models: Local) -> None:
    size = (3000, 1500)
    session = Session().opened(Image.new("RGB", size), "large.png")
    small = Image.new("L", (640, 320), 0)
    small.paste(255, (64, 64, 128, 128))
    [screen] = Tools(models).sight(
        f"{session.version} {small_mask(small)}", session, "inpaint", None, context="100"
    )
    [[left, top, side]] = frames_of(screen)
    assert abs(left - 200) <= 5 and abs(top - 200) <= 5 and abs(side - 500) <= 10
    assert canvas.proxy_size(size) == (2048, 1024)
