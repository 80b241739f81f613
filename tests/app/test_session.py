"""The history of a window: immutable, bounded, and what undo and use mean."""

from __future__ import annotations

import pytest
from PIL import Image

from app import session as module
from app.session import Session
from engine.errors import RequestError
from engine.request import EditOptions, EditRequest
from engine.result import Result


def picture(colour: str, size: tuple[int, int] = (8, 6)) -> Image.Image:
    return Image.new("RGB", size, colour)


def result(
    *colours: str, task: str = "inpaint", size: tuple[int, int] = (8, 6), **fields: str
) -> Result:
    options = EditOptions(seed=7, variations=len(colours))
    request = EditRequest(task=task, options=options, **fields)
    images = tuple(picture(colour, size) for colour in colours)
    return Result(images, tuple(7 + i for i in range(len(colours))), 0.5, request)


def colour(session: Session) -> tuple[int, ...]:
    assert session.current is not None
    return session.current.image.getpixel((0, 0))


RED, GREEN, BLUE = (255, 0, 0), (0, 128, 0), (0, 0, 255)


def test_an_empty_session_has_nothing_to_show_undo_or_use() -> None:
    session = Session()
    assert session.current is None
    assert not session.can_undo and not session.can_redo
    for method in (session.undone, session.redone, session.used):
        with pytest.raises(RequestError):
            method()


def test_every_change_leaves_the_old_session_as_it_was() -> None:
    before = Session().opened(picture("red"), "a.jpg")
    after = before.ran(result("green")).used()
    assert colour(before) == RED and len(before.moments) == 1
    assert colour(after) == GREEN and len(after.moments) == 2


def test_undo_and_redo_walk_the_history() -> None:
    session = Session().opened(picture("red"), "a.jpg").ran(result("green")).used()
    session = session.ran(result("blue")).used()
    assert colour(session) == BLUE
    assert colour(session.undone()) == GREEN
    assert colour(session.undone().undone()) == RED
    assert colour(session.undone().undone().redone()) == GREEN
    assert not session.can_redo


def test_a_new_edit_after_undo_forgets_what_could_be_redone() -> None:
    session = Session().opened(picture("red"), "a.jpg").ran(result("green")).used().undone()
    session = session.ran(result("blue")).used()
    assert [m.image.getpixel((0, 0)) for m in session.moments] == [RED, BLUE]


def test_another_variation_can_be_used_instead_of_the_first() -> None:
    session = Session().opened(picture("red"), "a.jpg").ran(result("green", "blue")).used()
    session = session.chose(1).used()
    assert [m.image.getpixel((0, 0)) for m in session.moments] == [RED, BLUE]


def test_choosing_a_variation_that_is_not_there_is_told() -> None:
    session = Session().opened(picture("red"), "a.jpg").ran(result("green"))
    with pytest.raises(RequestError, match="no variation 3"):
        session.chose(2)


def test_a_chosen_variation_carries_the_request_that_makes_it_alone() -> None:
    session = Session().opened(picture("red"), "a.jpg").ran(result("green", "blue")).chose(1)
    assert session.outcome is not None
    options = session.outcome.request.options
    assert (options.seed, options.variations) == (8, 1)
    moment = session.used().current
    assert moment is not None and moment.request == session.outcome.request
    assert moment.caption == "Inpaint, seed 8"


def test_the_mask_is_remembered_with_the_picture_it_was_painted_over() -> None:
    mask = Image.new("L", (8, 6), 255)
    session = Session().opened(picture("red"), "a.jpg").masked(mask).ran(result("green")).used()
    assert session.current is not None and session.current.mask is None
    back = session.undone().current
    assert back is not None and back.mask is mask


def test_the_canvas_changes_with_the_picture_and_only_then() -> None:
    session = Session().opened(picture("red"), "a.jpg")
    assert session.masked(None).version == session.version
    assert session.ran(result("green")).version == session.version
    assert session.ran(result("green")).used().version == session.version + 1
    assert session.remounted().version == session.version + 1


def test_a_generated_picture_can_be_used_without_an_opened_one() -> None:
    session = Session().ran(result("green", task="generate", label="bird")).used()
    assert colour(session) == GREEN and not session.can_undo
    assert session.moments[0].caption == "Generate bird, seed 7"


def test_an_extension_remembers_how_much_was_added() -> None:
    session = Session().opened(picture("red", (100, 50)), "a.jpg")
    session = session.ran(result("green", task="outpaint", size=(150, 50), right="50%"))
    assert session.outcome is not None and session.outcome.extension == (0, 0, 50, 0)


def test_the_oldest_pictures_go_when_memory_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MEMORY_LIMIT", 3 * 8 * 6 * 3)
    session = Session().opened(picture("red"), "a.jpg")
    for name in ("green", "blue", "white", "black"):
        session = session.ran(result(name)).used()
    assert len(session.moments) == 3
    assert colour(session) == (0, 0, 0)
    assert session.outcome is not None and session.outcome.base == 1
    assert colour(session.chose(0).used()) == (0, 0, 0)


def test_one_picture_beyond_the_limit_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MEMORY_LIMIT", 1)
    assert colour(Session().opened(picture("red"), "a.jpg")) == RED


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("holiday.final.jpg", "holiday.final".replace(".", "_")),
        ("C:\\pictures\\cat.png", "cat"),
        ("../../etc/passwd", "passwd"),
        ("<img src=x>.png", "_img src_x_"),
        (".png", "picture"),
    ],
)
def test_file_names_are_made_fit_for_other_files(name: str, stem: str) -> None:
    assert Session().opened(picture("red"), name).name == stem
