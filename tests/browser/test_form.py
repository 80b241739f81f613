"""The form: what it remembers of a task, shows of a run before it is made, and asks for ahead."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from engine.picture.files import open_image
from tests.browser.chromium import Chromium
from tests.browser.marks import WIDTH, box, drag_box, overlap
from tests.browser.window import PATIENCE, Window

if TYPE_CHECKING:
    from playwright.sync_api import Route

pytestmark = pytest.mark.browser


def test_a_fast_edit_is_asked_for_ahead_of_the_run(window: Window, photo: Path) -> None:
    """The page sends the mask as soon as it is painted; otherwise only with what needs it."""
    sent: list[str] = []
    window.page.on("request", lambda request: sent.append(request.post_data or ""))

    def with_mask() -> list[str]:
        return [data for data in sent if '"fast"' in data and "data:image/png" in data]

    window.open_picture(photo)
    window.stroke((0.4, 0.4), (0.5, 0.5))
    window.page.locator("#over .frame").wait_for()
    assert not with_mask()
    window.page.click("#advanced > button")
    window.page.locator("#speed input").click()
    with window.page.expect_request(lambda request: '"fast"' in (request.post_data or "")):
        window.page.get_by_role("option", name="Fast", exact=True).click()
    before = len(with_mask())
    with window.page.expect_request(lambda request: bool(with_mask()[before:])):
        window.stroke((0.6, 0.4), (0.6, 0.5))
    window.run()


def test_an_aspect_is_shown_before_the_run_and_made_by_it(window: Window, photo: Path) -> None:
    window.open_picture(photo)
    window.task("Outpaint")
    window.page.click("#aspect-1-1")
    window.page.wait_for_selector("#over .size")
    window.wait_for_text("#over .size", f"{WIDTH} × {WIDTH}")
    window.wait_for_count("#over .new", 2)
    window.page.wait_for_selector("#over .frame")
    window.set_variations(1)
    window.run()
    window.press_and_wait("#use-result")
    assert open_image(window.download()).size == (WIDTH, WIDTH)


def test_a_class_stays_with_the_tasks_that_need_one(window: Window, photo: Path) -> None:
    window.open_picture(photo)
    shown = "document.querySelector('#label input').value"
    window.task("Edit class")
    window.page.wait_for_selector("#label :text-is('Class')")
    window.choose_label("hills")
    window.task("Outpaint")
    window.page.wait_for_function(f"{shown} === 'No class'")
    window.task("Inpaint")
    window.page.wait_for_function(f"{shown} === 'No class'")
    window.task("Generate")
    window.page.wait_for_function(f"{shown} === 'hills'")
    window.task("Edit class")
    window.page.wait_for_function(f"{shown} === 'hills'")


def hold_back_edit_class(window: Window) -> list[Route]:
    """Edit class is pressed; what the server is to say to that comes when the routes go on."""
    page = window.page
    held: list[Route] = []
    page.route("**/queue/join*", lambda route: held.append(route))
    page.locator("#task label", has_text="Edit class").click()
    page.wait_for_function("document.querySelector('#task input[value=edit_class]').checked")
    for _ in range(PATIENCE // 20):
        if held:
            return held
        page.wait_for_timeout(20)
    raise AssertionError("the page asks nothing")


def let_go(window: Window, held: list[Route]) -> None:
    while held:
        held.pop(0).continue_()
    window.page.wait_for_selector("#label :text-is('Class')")  # it has come: no longer "optional"


def test_a_class_chosen_before_the_server_has_answered_stays(window: Window, photo: Path) -> None:
    window.open_picture(photo)
    held = hold_back_edit_class(window)
    window.choose_label("hills")
    let_go(window, held)
    assert window.page.locator("#label input").input_value() == "hills"


def test_the_classes_that_are_searched_stay_in_place_when_the_server_answers(
    window: Window, photo: Path
) -> None:
    window.open_picture(photo)
    held = hold_back_edit_class(window)
    window.page.locator("#label input").click()
    window.page.keyboard.type("hills")
    found = window.page.get_by_role("option")
    window.wait_for_count("[role=option]", 1)
    let_go(window, held)
    window.page.wait_for_timeout(300)
    assert found.all_inner_texts() == ["hills"]
    found.click()
    assert window.page.locator("#label input").input_value() == "hills"


def test_a_mask_is_pale_while_the_task_does_not_use_it(window: Window, photo: Path) -> None:
    window.open_picture(photo)
    page = window.page
    where = window.place(0.5, 0.5)
    clip = {"x": where[0] - 8, "y": where[1] - 8, "width": 16, "height": 16}

    def colour() -> np.ndarray:
        png = io.BytesIO(page.screenshot(clip=clip))
        return np.asarray(open_image(png).convert("RGB")).mean(axis=(0, 1))

    def colour_that(fits: Callable[[np.ndarray], bool]) -> np.ndarray:
        """The colour there once the canvas has been drawn anew, which takes a few frames."""
        for _ in range(PATIENCE // 100):
            found = colour()
            if fits(found):
                return found
            page.wait_for_timeout(100)
        raise AssertionError(f"the canvas stays {found}")

    bare = colour()
    window.tool("rectangle")
    drag_box(window, 100, 60, 260, 180)
    page.mouse.move(5, 5)
    colour_that(lambda now: np.abs(now - bare).max() > 40)
    page.wait_for_timeout(500)  # its stripes come with a later frame
    painted = colour()
    window.task("Outpaint")
    colour_that(lambda now: np.abs(now - bare).max() < 0.5 * np.abs(painted - bare).max())
    window.task("Inpaint")
    colour_that(lambda now: np.abs(now - painted).max() < 5)
    assert overlap(window.mask(), box(100, 60, 260, 180)) > 0.98  # it is all there


def test_the_theme_is_a_choice_that_stays(window: Window) -> None:
    page = window.page
    dark = "document.body.classList.contains('dark')"
    assert not page.evaluate(dark)
    page.click("#theme")
    page.wait_for_function(dark)
    assert page.evaluate("getComputedStyle(document.querySelector('#form')).backgroundColor") == (
        "rgb(26, 28, 35)"
    )
    page.reload()
    window.wait_for_canvas()
    page.wait_for_function(dark)
    page.click("#theme")
    page.wait_for_function(f"!({dark})")


def test_from_the_page_to_a_finished_edit_in_three_clicks_and_one_stroke(
    window: Window, record_property: Callable[[str, object], None]
) -> None:
    """A newcomer's way, with nothing set and no key pressed: an example, a stroke, Run, Use."""
    count = """() => {
        window.hand = {pointerdown: 0, keydown: 0};
        for (const kind of Object.keys(hand)) addEventListener(kind, () => hand[kind]++, true);
        window.begun = performance.now();
    }"""
    window.page.evaluate(count)
    before = window.version
    window.page.click("#examples button >> nth=0")
    window.wait_for_canvas(before + 1)
    window.stroke((0.4, 0.4), (0.6, 0.5))
    window.page.click("#run")
    window.wait_for_status("Done")
    edited = window.page.evaluate("performance.now() - begun")
    window.press_and_wait("#use-result")
    assert window.page.evaluate("hand") == {"pointerdown": 4, "keydown": 0}
    window.wait_for_count("#history button", 2)
    record_property("seconds to the first edit", round(edited / 1000, 1))
    assert edited < PATIENCE


@pytest.mark.parametrize("size", [(1280, 720), (1024, 768)])
def test_everything_that_matters_is_in_reach(
    chromium: Chromium, address: str, photo: Path, size: tuple[int, int]
) -> None:
    with Window.open(chromium, address, size) as window:
        window.open_picture(photo)
        names = (
            "#run", "#cancel", "#status", "#download", "#open", "#undo",
            "#export-mask", "#rail", "#model", "#help",
        )  # fmt: skip
        for title in ("Inpaint", "Outpaint", "Edit class"):
            window.task(title)
            masked = title != "Outpaint"  # which has no use for the brush
            for name in (*names, *["#settings"] * masked):
                place = window.page.locator(name).bounding_box()
                assert place is not None
                inside = place["x"] >= 0 and place["x"] + place["width"] <= size[0]
                assert inside and place["y"] + place["height"] <= size[1], (title, name, place)
        whole = "[document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
        assert window.page.evaluate(whole) == list(size)
