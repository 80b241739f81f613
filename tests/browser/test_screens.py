"""Screens from a phone to a desk: everything is in reach; results are looked at on the canvas."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.picture.files import open_image
from tests.browser.chromium import Chromium
from tests.browser.conftest import SIZE
from tests.browser.test_axe import OFFER
from tests.browser.window import Window

pytestmark = pytest.mark.browser

SEEN = "#easel > img.seen"
CANVAS = "#canvas .pixi-target canvas"


def corners(window: Window) -> list[float]:
    """Where the picture's first and last corner are on its canvas, however far the page is
    scrolled."""
    home = window.page.locator(CANVAS).bounding_box()
    assert home is not None
    places = [window.place(0, 0), window.place(1, 1)]
    return [at for x, y in places for at in (x - home["x"], y - home["y"])]


def apart(window: Window, *names: str) -> bool:
    """Whether two things do not lie over each other."""
    one, other = (window.page.locator(name).bounding_box() for name in names)
    assert one is not None and other is not None
    return any(
        first[start] + first[length] <= second[start]
        for first, second in ((one, other), (other, one))
        for start, length in (("x", "width"), ("y", "height"))
    )


@pytest.mark.parametrize(
    ("size", "least"),
    [
        ((360, 640), (260, 220)), ((390, 844), (280, 380)), ((844, 390), (440, 200)),
        ((740, 360), (340, 170)),
        ((800, 1100), (440, 500)), ((1280, 720), (560, 500)),
    ],
)  # fmt: skip
def test_everything_is_in_reach_from_a_phone_to_a_desk(
    chromium: Chromium, address: str, photo: Path, size: tuple[int, int], least: tuple[int, int]
) -> None:
    phone = min(size) < 500
    with Window.open(chromium, address, size, touch=phone) as window:
        page = window.page
        page.locator("#offer").evaluate("(offer, html) => { offer.innerHTML = html; }", OFFER)
        place = page.locator("#easel").bounding_box()
        assert place is not None and place["height"] > 100, "a place to drop a picture"
        assert phone or window.is_in_sight("#examples")
        page.locator("#offer").evaluate("(offer) => { offer.innerHTML = ''; }")
        for title in ("Outpaint", "Edit class", "Generate", "Inpaint"):
            window.task(title)
            assert window.is_in_sight("#run") and window.is_in_sight("#status"), title
        window.choose_file("#open", photo)
        window.wait_for_canvas(1)
        box = page.locator(CANVAS).bounding_box()
        assert box is not None and box["width"] >= least[0] and box["height"] >= least[1], box
        window.stroke((0.4, 0.4), (0.6, 0.6))
        before = corners(window)
        window.run()
        assert window.is_in_sight("#run")
        assert corners(window) == pytest.approx(before, abs=0.5), "the picture stays where it is"
        page.wait_for_selector(SEEN)
        page.wait_for_selector("#flip .use")
        assert window.is_in_sight("#flip .use") and window.is_in_sight("#zoom [data-zoom=fit]")
        assert apart(window, "#flip", "#zoom")
        window.scroll_to("#canvas")
        assert page.evaluate("document.querySelector('#easel').scrollTop") == 0
        page.click("#flip .split")
        page.wait_for_selector("#stage[data-comparing]")  # with the next frame
        assert window.is_in_sight("#compare i")
        page.click("#flip .split")
        behind = {"#more-mask": ["#import-mask", "#export-mask", "#mask-grow"],
                  "#more-files": ["#format input", "#save-project", "#help"]}  # fmt: skip
        for opener, those in behind.items():
            if size[0] <= 680:
                window.scroll_to(opener)
                page.tap(opener)
            for name in those:
                assert window.is_in_sight(name), name
            if size[0] <= 680:
                page.tap("#brand")
                page.wait_for_selector(f"{opener}[aria-expanded=false]")
        names = ["#open", "#undo", "#mask-clear", "#rail [data-tool=pan]", "#show-crop",
                 "#download", "#seed input, #seed textarea", "#advanced button", "#use-result",
                 "#more", "#results .thumbnail-item", "#label input", "#model input"]  # fmt: skip
        for name in names:
            window.scroll_to(name)
            assert window.is_in_reach(name), name
        words = page.evaluate(
            """[...document.querySelectorAll("#take button, #result-row button, #flip button")]
                .filter((button) => {
                    const words = document.createRange();
                    words.selectNodeContents(button);
                    return words.getBoundingClientRect().width + 8 > button.offsetWidth;
                }).filter((button) => button.offsetParent)
                .map((button) => button.id || button.className)"""
        )
        assert not words, "they do not fit into their buttons"
        all_of_it, screen = page.evaluate(
            "[[document.documentElement.scrollWidth, document.documentElement.scrollHeight],"
            " [innerWidth, innerHeight]]"
        )
        assert all_of_it[0] <= screen[0], "nothing sticks out at the side"
        assert size[0] <= 680 or all_of_it[1] <= screen[1], "nor below, where columns scroll"
        window.press_and_wait("#flip .use")
        window.scroll_to("#history button")
        assert window.is_in_reach("#history button"), "history"
        window.expect_no_errors()


def test_on_a_phone_run_brings_the_canvas_into_sight(
    chromium: Chromium, address: str, photo: Path
) -> None:
    with Window.open(chromium, address, (390, 844), touch=True) as window:
        window.choose_file("#open", photo)
        window.wait_for_canvas(1)
        window.stroke((0.4, 0.4), (0.6, 0.6))
        window.page.click("#advanced > button")
        window.page.wait_for_selector("#experts")
        window.scroll_to("#experts")
        assert not window.is_in_sight("#rail [data-tool=pan]")
        window.run()
        assert window.is_in_sight("#rail [data-tool=pan]") and window.is_in_sight("#flip .use")


@pytest.mark.parametrize("size", [(390, 844), (844, 390)])
def test_on_a_phone_a_new_picture_has_the_room_of_the_examples(
    chromium: Chromium, address: str, size: tuple[int, int]
) -> None:
    with Window.open(chromium, address, size, touch=True) as window:
        window.task("Generate")
        window.choose_label("owl")
        assert window.page.is_visible("#examples")
        window.run()
        window.page.wait_for_selector("#easel > img.seen.alone")
        window.page.wait_for_selector("#flip .use")
        place = window.page.locator("#easel > img.seen.alone").bounding_box()
        assert place is not None and min(place["width"], place["height"]) > 180
        assert apart(window, "#flip", "#easel > img.seen.alone")
        assert not window.page.is_visible("#examples")


def test_results_are_flipped_through_on_the_canvas(window: Window, photo: Path) -> None:
    page = window.page
    assert not page.locator("#outcome").is_visible(), "an empty panel takes no room"
    window.open_picture(photo)
    window.stroke((0.3, 0.3), (0.6, 0.5))
    window.set_variations(3)
    window.run()
    window.wait_for_results(3)
    image = page.locator(SEEN)
    image.wait_for()
    place = image.bounding_box()
    (left, top), (right, bottom) = window.place(0, 0), window.place(1, 1)
    assert place is not None
    assert [place["x"], place["y"], place["width"], place["height"]] == pytest.approx(
        [left, top, right - left, bottom - top], abs=1.5
    )
    page.wait_for_selector("#results .thumbnail-item.selected >> nth=0")
    assert "best match of 3" in page.inner_text("#result-note"), "the best is chosen"
    first = image.get_attribute("src")
    page.keyboard.press("ArrowRight")
    window.wait_for_text("#flip output", "2 of 3")
    page.wait_for_function(
        "first => { const now = document.querySelector('#easel > img.seen');"
        " return now && now.getAttribute('src') !== first; }", arg=first,
    )  # fmt: skip
    page.keyboard.press("ArrowLeft")
    window.wait_for_text("#flip output", "1 of 3")
    page.click("#flip [data-by='-1']")
    window.wait_for_text("#flip output", "3 of 3")

    page.click("#flip .split")
    page.wait_for_selector("#stage[data-comparing]")
    line = page.locator("#compare i").bounding_box()
    slider = page.locator("#compare input[type=range]")
    assert line is not None
    x = left + 0.75 * (right - left)  # dragged there, on the canvas
    page.mouse.move(line["x"] + line["width"] / 2, line["y"] + line["height"] / 2)
    page.mouse.down()
    page.mouse.move(x, line["y"] + line["height"] / 2, steps=4)
    page.mouse.up()
    assert float(slider.input_value()) == pytest.approx(75, abs=1)
    page.keyboard.down("c")
    image.wait_for(state="detached")
    before = "#compare .compare.before"
    page.wait_for_selector(before)
    assert page.locator(f"{before} img.before").bounding_box() == page.locator(
        f"{before} img.after"
    ).bounding_box()
    assert page.evaluate(f"getComputedStyle(document.querySelector('{before} img.before')).opacity"
                         ) == "1"  # fmt: skip
    page.keyboard.up("c")
    image.wait_for()
    page.click("#flip .toggle")
    image.wait_for(state="detached")
    page.click("#flip .toggle")
    image.wait_for()

    slider.focus()
    at = slider.input_value()
    page.keyboard.press("ArrowRight")
    assert slider.input_value() != at
    style = page.get_attribute("#compare .compare", "style") or ""
    assert f"{float(slider.input_value()):g}%" in style
    page.locator("#seed input, #seed textarea").first.focus()
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("Boolean(document.activeElement.closest('#compare'))"):
            break
    else:
        raise AssertionError("the slider is not in the Tab order")

    page.evaluate("document.activeElement.blur()")
    window.stroke((0.7, 0.7), (0.8, 0.8))  # who paints, paints on the picture
    image.wait_for(state="detached")


def test_download_saves_what_is_on_the_canvas(window: Window, photo: Path, tmp_path: Path) -> None:
    def saved() -> bytes:
        return open_image(window.download()).tobytes()

    source = open_image(photo)
    window.open_picture(photo)
    window.stroke((0.3, 0.3), (0.6, 0.5))
    window.run()
    window.page.wait_for_selector(SEEN)
    result = saved()
    assert result != source.tobytes()
    window.page.click("#flip .toggle")
    window.page.wait_for_selector(SEEN, state="detached")
    assert saved() == source.tobytes(), "before the edit is shown, and saved"
    window.press_and_wait("#use-result")
    assert saved() == result
    window.press_and_wait("#undo")
    assert saved() == source.tobytes(), "not the result beside it"

    window.task("Outpaint")
    window.fill("extend-right", "400%")
    window.fill("extend-bottom", "400%")
    window.set_variations(8)
    window.run("Frame")
    other = tmp_path / "other.png"
    source.resize((100, 80)).save(other)
    before = window.version
    window.choose_file("#open", other)
    window.wait_for_canvas(before + 1)
    window.page.wait_for_selector("#run:not([disabled])")
    assert open_image(window.download()).size == (100, 80)
    window.wait_for_results(0)
    assert window.page.locator("#use-result").is_disabled()
    assert not window.page.locator("#flip").is_visible()


def test_the_zoom_says_how_many_screen_pixels_a_pixel_has(
    chromium: Chromium, address: str, tmp_path: Path
) -> None:
    """Also for a picture that the canvas shows smaller than it is."""
    from PIL import Image

    large = tmp_path / "large.jpg"
    Image.linear_gradient("L").resize((3000, 1500)).convert("RGB").save(large)
    with Window.open(chromium, address) as window:
        window.open_picture(large)
        window.wait_for_rest()
        (left, _), (right, _) = window.place(0, 0), window.place(1, 1)
        percent = round(100 * (right - left) / 3000)
        window.wait_for_text("#zoom [data-zoom=real]", f"{percent} %")
        window.page.click("#zoom [data-zoom=real]")
        window.wait_for_text("#zoom [data-zoom=real]", "100 %")
        window.wait_for_rest()
        (left, _), (right, _) = window.place(0, 0), window.place(1, 1)
        assert right - left == pytest.approx(3000, rel=0.01)
        window.page.click("#zoom [data-zoom=in]")
        window.wait_for_text("#zoom [data-zoom=real]", "125 %")
        window.page.click("#zoom [data-zoom=fit]")
        window.wait_for_text("#zoom [data-zoom=real]", f"{percent} %")
        window.expect_no_errors()


def test_two_fingers_zoom_and_move_and_one_paints(
    chromium: Chromium, address: str, photo: Path
) -> None:
    with Window.open(chromium, address, (390, 844), touch=True) as window:
        window.choose_file("#open", photo)
        window.wait_for_canvas(1)
        window.wait_for_rest()
        fingers = window.page.context.new_cdp_session(window.page)

        def touch(kind: str, *places: tuple[float, float]) -> None:
            points = [{"x": x, "y": y, "id": index} for index, (x, y) in enumerate(places)]
            fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        x, y = window.place(0.5, 0.5)
        width = window.place(1, 0)[0] - window.place(0, 0)[0]
        touch("touchStart", (x - 20, y))
        touch("touchStart", (x - 20, y), (x + 20, y))
        for step in range(1, 9):
            touch("touchMove", (x - 20 - 3 * step, y), (x + 20 + 3 * step, y + step))
        touch("touchEnd")
        window.wait_for_rest()
        grown = window.place(1, 0)[0] - window.place(0, 0)[0]
        assert grown == pytest.approx(width * 88 / 40, rel=0.1)
        assert window.place(0.5, 0.5)[0] == pytest.approx(x, abs=4)
        window.wait_for_reason("Paint over something")

        touch("touchStart", (x - 20, y))  # a finger that has begun a stroke when the second comes
        for step in range(1, 5):
            touch("touchMove", (x - 20 - 6 * step, y))
        touch("touchStart", (x - 44, y), (x + 20, y))
        touch("touchMove", (x - 46, y), (x + 22, y))
        touch("touchEnd")
        window.wait_for_rest()
        window.wait_for_reason("Paint over something")
        assert window.page.locator("#redo").is_disabled()

        touch("touchStart", (x - 30, y))
        for step in range(1, 7):
            touch("touchMove", (x - 30 + 10 * step, y))
        touch("touchEnd")
        mask = window.mask()
        assert mask.any() and np.flatnonzero(mask.any(axis=0)).size > SIZE[0] / 20
        window.expect_no_errors()


def test_the_edge_of_an_extension_is_dragged_on_the_canvas(window: Window, photo: Path) -> None:
    window.open_picture(photo)
    window.task("Outpaint")
    page = window.page
    page.wait_for_selector("#edges [data-side=right]")
    window.wait_for_rest()
    (left, top), (right, bottom) = window.place(0, 0), window.place(1, 1)
    unit, middle = (right - left) / SIZE[0], (top + bottom) / 2
    page.mouse.move(right, middle)
    page.mouse.down()
    page.mouse.move(right + 30, middle, steps=4)
    page.mouse.up()
    amount = int(page.locator("#extend-right input, #extend-right textarea").input_value())
    assert amount == pytest.approx(30 / unit, abs=2)
    window.wait_for_text("#over .size", f"{SIZE[0] + amount} × {SIZE[1]}")
    page.click("#aspect-1-1")
    page.wait_for_selector("#aspect-1-1[aria-pressed=true]")
    assert page.get_attribute("#aspect-16-9", "aria-pressed") == "false"


def test_a_new_picture_is_shown_without_the_one_below_it(window: Window, photo: Path) -> None:
    window.open_picture(photo)
    window.task("Generate")
    window.choose_label("bird")
    window.run()
    window.page.wait_for_selector(f"{SEEN}.alone")
    shown = "getComputedStyle(document.querySelector('#canvas .pixi-target')).opacity"
    assert window.page.evaluate(shown) == "0"
    window.press_and_wait("#flip .use")
    window.page.wait_for_function(f"{shown} === '1'")


def test_a_class_edit_leaves_what_is_around_it_if_asked(window: Window, photo: Path) -> None:
    window.open_picture(photo)
    assert not window.page.locator("#around").is_visible()
    window.task("Edit class")
    window.choose_label("bird")
    window.page.locator("#around label", has_text="As it was").click()
    window.stroke((0.4, 0.4), (0.6, 0.6))
    window.run()
    from engine.picture.files import read_request

    request = read_request(open_image(window.download())) or ""
    assert '"around":"keep"' in request
    window.page.reload()
    window.page.wait_for_selector("#around label.selected:has-text('As it was')")
