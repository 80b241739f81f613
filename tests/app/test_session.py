"""The history of a window: immutable, bounded, and what undo and use mean."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PIL import Image

from app.session import Session
from app.vault import Vault
from engine.errors import MaskError, RequestError
from engine.events import Result
from engine.request import EditRequest
from engine.request.options import EditOptions


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


def test_what_was_done_since_a_variation_was_used_stays_when_another_is() -> None:
    session = Session().opened(picture("red"), "a.jpg").ran(result("green", "blue")).used()
    session = session.edited(picture("white"), "by hand").chose(1).used()
    assert [m.image.getpixel((0, 0)) for m in session.moments] == [RED, GREEN, (255,) * 3, BLUE]
    base = session.moments[0]
    session = Session().opened(picture("red"), "a.jpg")
    base = session.current
    session = session.opened(picture("white"), "b.jpg").ran(result("blue"), base=base).used()
    assert [m.image.getpixel((0, 0)) for m in session.moments] == [RED, (255,) * 3, BLUE]


def test_a_variation_drawn_again_takes_the_place_of_the_one_that_was_used() -> None:
    session = Session().opened(picture("red"), "a.jpg").ran(result("green")).used()
    base = session.moments[0]
    session = session.ran(result("blue"), base=base).used()
    assert [m.image.getpixel((0, 0)) for m in session.moments] == [RED, BLUE]


def test_a_new_step_leaves_nothing_of_what_was_undone_on_the_one_before() -> None:
    painted = Image.new("L", (8, 6), 255)
    session = Session().opened(picture("red"), "a.jpg").masked(painted).remasked(None).undone()
    session = session.ran(result("green")).used().undone()
    assert colour(session.redone()) == GREEN


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


def test_undo_is_unlimited_because_pictures_go_to_disk_when_memory_runs_out() -> None:
    session = Session(vault=Vault(limit=3 * 8 * 6 * 4)).opened(picture("red"), "a.jpg")
    for name in ("green", "blue", "white", "black"):
        session = session.ran(result(name)).used()
    assert len(session.moments) == 5
    assert session.vault.used <= session.vault.limit
    seen = [colour(session)]
    while session.can_undo:
        session = session.undone()
        seen.append(colour(session))
    assert seen == [(0, 0, 0), (255, 255, 255), BLUE, GREEN, RED]


def test_the_variations_of_the_last_run_count_as_memory() -> None:
    session = Session().opened(picture("red"), "a.jpg")
    before = session.vault.used
    session = session.ran(result("green", "blue"))
    assert session.vault.used == before + 2 * 8 * 6 * 4


def test_a_kept_variation_outlives_the_next_run_and_can_be_used() -> None:
    session = Session().opened(picture("red"), "a.jpg").ran(result("green", "blue")).chose(1)
    session = session.toggled().ran(result("white"))
    assert [v.image.getpixel((0, 0)) for v in session.shown] == [(255, 255, 255), BLUE]
    session = session.used().chose(1).used()
    assert [m.image.getpixel((0, 0)) for m in session.moments] == [RED, (255, 255, 255), BLUE]
    assert session.toggled().kept == ()


def test_what_is_kept_of_another_picture_is_not_shown_beside_this_one() -> None:
    session = Session().opened(picture("red"), "a.jpg", b"a").ran(result("green")).toggled()
    other = session.opened(picture("white"), "b.jpg", b"b")
    assert not other.shown and len(other.kept) == 1
    assert len(other.undone().shown) == 1, "it is back with its picture"


def test_the_best_variation_comes_first() -> None:
    ran = replace(result("green", "blue", "white"), scores=(-3.0, -1.0, -2.0))
    session = Session().opened(picture("red"), "a.jpg").ran(ran)
    assert [v.score for v in session.results] == [-1.0, -2.0, -3.0]
    assert session.outcome is session.results[0] and session.looking
    assert session.outcome.image.getpixel((0, 0)) == BLUE


def test_a_variation_of_an_earlier_picture_does_not_take_later_steps_away() -> None:
    session = Session().opened(picture("red"), "a.jpg").ran(result("green")).toggled().used()
    session = session.ran(result("blue")).used().chose(1).used()
    assert [m.image.getpixel((0, 0)) for m in session.moments] == [RED, GREEN, BLUE, GREEN]


def test_the_seeds_of_a_variation_nest_from_one_re_roll_to_the_next() -> None:
    session = Session().opened(picture("red"), "a.jpg").ran(result("green"))
    assert session.result.coarse_seeds(3) == (7, 7, 7)
    options = EditOptions(seed=9, coarse_seeds=(7, 7))
    again = Result((picture("blue"),), (9,), 0.1, EditRequest(task="inpaint", options=options))
    assert session.ran(again).result.coarse_seeds(4) == (7, 7, 9, 9)
    assert session.ran(again).result.coarse_seeds(1) == (7,)


def test_regions_belong_to_their_picture_and_come_back_with_undo() -> None:
    mask = Image.new("L", (8, 6), 255)
    session = Session().opened(picture("red"), "a.jpg").marked(mask, "bird").marked(mask, "cat")
    assert [(r.label, r.colour) for r in session.picture.regions] == [("bird", 0), ("cat", 1)]
    assert session.picture.mask is None
    used = session.ran(result("green")).used()
    assert used.picture.regions == ()
    session = used.undone().unmarked(0).marked(mask, "fox")
    assert [(r.label, r.colour) for r in session.picture.regions] == [("cat", 1), ("fox", 0)]
    with pytest.raises(MaskError, match="no region 3"):
        session.unmarked(2)


def test_undo_brings_back_what_was_painted_and_marked_before_it_turns_to_another_picture() -> None:
    first = Session().opened(picture("red"), "a.jpg").ran(result("green")).used()
    painted, inverted = Image.new("L", (8, 6), 255), Image.new("L", (8, 6), 0)
    session = first.masked(painted).remasked(inverted).marked(inverted, "bird").remasked(None)

    def state(session: Session) -> tuple[int, list[str], int | None]:
        moment = session.picture
        value = None if moment.mask is None else int(moment.mask.getpixel((0, 0)))
        return session.at, [region.label for region in moment.regions], value

    states = [state(session)]
    while session.can_undo:
        version = session.version
        session = session.undone()
        assert session.version == version + 1, "the canvas is to show it"
        states.append(state(session))
    assert states == [(1, ["bird"], None)] * 2 + [(1, [], 0), (1, [], 255), (0, [], None)]
    while session.can_redo:
        session = session.redone()
        states.pop()
        assert state(session) == states[-1]
    assert len(states) == 1
    again = session.undone().undone().remasked(painted)
    assert not again.can_redo, "what is new takes the place of what was undone"


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
