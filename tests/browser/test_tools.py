"""The canvas's tools: shapes, things, the original's brush, the model's frame, moving about."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine import EditOptions, EditRequest, load_editor
from engine.picture.files import open_image
from tests.browser.chromium import Chromium
from tests.browser.marks import HEIGHT, WIDTH, box, drag_box, overlap
from tests.browser.window import Window

pytestmark = pytest.mark.browser


def test_rectangle_and_lasso_add_and_take_away(window: Window, photo: Path) -> None:
    window.open_picture(photo)
    press = window.page.keyboard
    press.press("r")
    drag_box(window, 60, 40, 200, 160)
    once = window.mask()
    assert overlap(once, box(60, 40, 200, 160)) > 0.96, "up to a pixel"

    press.down("Alt")
    drag_box(window, 120, 20, 260, 200)
    press.up("Alt")
    taken = window.mask()
    assert overlap(taken, box(60, 40, 120, 160)) > 0.95

    window.tool("lasso")
    window.stroke((0.7, 0.2), (0.9, 0.2), (0.9, 0.8), (0.7, 0.8))
    both = window.mask()
    assert overlap(both & ~taken, box(252, 48, 324, 192)) > 0.93 and both[taken].all()

    press.press("Control+z")
    assert np.array_equal(window.mask(), taken)
    press.press("Control+z")
    assert np.array_equal(window.mask(), once)
    press.press("Control+Shift+z")
    assert np.array_equal(window.mask(), taken)

    window.page.click("#settings [data-take='1']")  # as Alt, for who has no keyboard
    window.stroke((0.05, 0.05), (0.95, 0.05), (0.95, 0.95), (0.05, 0.95))
    window.wait_for_reason("Paint over something")


def test_a_shape_leaves_nothing_behind_on_a_screen_with_more_pixels(
    chromium: Chromium, address: str, photo: Path
) -> None:
    """The editor's layers have the screen's pixels, a mask has the picture's."""
    with Window.open(chromium, address, scale=1.5) as window:
        window.open_picture(photo)
        window.tool("rectangle")
        drag_box(window, 100, 80, 200, 160)
        window.page.wait_for_selector("#over .frame")
        assert np.array_equal(window.mask(), box(100, 80, 200, 160))
        window.page.keyboard.down("Alt")
        drag_box(window, 100, 80, 200, 160)
        window.page.keyboard.up("Alt")
        window.page.wait_for_selector("#over .frame", state="detached")
        window.expect_no_errors()


def test_a_thing_is_picked_by_a_click_or_a_box_and_edited(window: Window, thing: Path) -> None:
    window.open_picture(thing)
    disc = np.zeros((HEIGHT, WIDTH), bool)
    y, x = np.indices(disc.shape)
    disc[(x - 260) ** 2 + (y - 110) ** 2 <= 50**2] = True

    window.page.keyboard.press("w")
    window.page.mouse.click(*window.place(0.75, 0.5))
    window.wait_for_status("Selected")
    window.page.wait_for_selector("#over .frame")  # the shape is on the mask
    assert overlap(window.mask(), disc) > 0.85

    window.page.keyboard.down("Alt")
    window.page.mouse.click(*window.place(0.7, 0.4))
    window.page.keyboard.up("Alt")
    window.wait_for_status("Taken out")
    window.page.wait_for_selector("#over .frame", state="detached")

    drag_box(window, 195, 45, 325, 175)
    window.wait_for_status("Selected")
    window.page.wait_for_selector("#over .frame")
    boxed = window.mask()
    assert overlap(boxed, disc) > 0.85

    window.run()
    assert np.array_equal(window.mask(), boxed), "the mask stays after a run"
    window.press_and_wait("#use-result")
    before, after = np.asarray(open_image(thing)), np.asarray(open_image(window.download()))
    assert (before != after).any(axis=2)[disc].mean() > 0.5
    assert np.array_equal(before[~boxed], after[~boxed])


def test_the_frame_on_the_canvas_is_what_the_model_will_see(
    window: Window, photo: Path, tiny_model_folder: Path
) -> None:
    window.open_picture(photo)
    window.tool("rectangle")
    drag_box(window, 100, 80, 130, 100)
    frame = window.page.locator("#over .frame")
    frame.wait_for()

    def seen() -> list[float]:
        """(left, top, side) on the picture."""
        place = frame.bounding_box()
        (x0, y0), (x1, _) = window.place(0, 0), window.place(1, 1)
        assert place is not None
        unit = WIDTH / (x1 - x0)
        return [(place["x"] - x0) * unit, (place["y"] - y0) * unit, place["width"] * unit]

    def expected(context: int | str) -> list[int]:
        editor = load_editor(str(tiny_model_folder), device="cpu")
        mask = Image.fromarray(box(100, 80, 130, 100))
        options = EditOptions(context=context)
        request = EditRequest(task="inpaint", image=open_image(photo), mask=mask, options=options)
        [one] = editor.plan(request).windows
        return [one.left, one.top, one.side]

    assert seen() == pytest.approx(expected("auto"), abs=3)

    window.page.click("#advanced > button")
    window.page.locator("#context input").click()
    window.page.get_by_role("option", name="whole", exact=True).click()
    window.page.wait_for_function(
        "side => document.querySelector('#over .frame span')?.innerText.includes(`${side} ×`)",
        arg=WIDTH,
    )
    assert seen() == pytest.approx(expected("whole"), abs=3)

    window.page.click("#show-frames")
    frame.wait_for(state="detached")
    window.page.click("#show-frames")
    frame.wait_for()
    window.page.keyboard.press("Control+z")
    frame.wait_for(state="detached")


def test_the_originals_brush_brings_its_bytes_back(window: Window, photo: Path) -> None:
    window.open_picture(photo)
    window.tool("original")
    window.stroke((0.4, 0.5), (0.6, 0.5))
    window.wait_for_status("nothing to paint back")

    window.tool("rectangle")
    drag_box(window, 80, 60, 280, 180)
    window.set_variations(1)
    window.run()
    window.press_and_wait("#use-result")
    edited = np.asarray(open_image(window.download()))
    source = np.asarray(open_image(photo))

    window.page.keyboard.press("o")
    before = window.version
    window.stroke((0.4, 0.5), (0.6, 0.5))
    window.wait_for_canvas(before + 1)
    back = np.asarray(open_image(window.download()))
    restored = (back != edited).any(axis=2)
    assert restored[118:122, 150:210].any() and not restored[:90].any()
    assert np.array_equal(back[restored], source[restored])
    assert np.array_equal(back[115:125, 146:214], source[115:125, 146:214])
    assert np.array_equal(back[~restored], edited[~restored])
    window.wait_for_count("#history button", 3)
    assert window.page.get_attribute("#rail [data-tool=original]", "aria-pressed") == "true"

    window.press_and_wait("#undo")
    assert np.array_equal(np.asarray(open_image(window.download())), edited)


def test_before_while_held_pan_zoom_and_fit(window: Window, photo: Path) -> None:
    window.open_picture(photo)
    page = window.page
    window.stroke((0.4, 0.4), (0.6, 0.6))
    window.run()
    clip = "getComputedStyle(document.querySelector('#compare img.before')).clipPath"
    page.wait_for_selector("#compare img.before", state="attached")
    assert page.evaluate(clip) != "none"
    # before ends left of what was painted, so that the edit is seen whole
    assert abs(float(page.locator("#compare input").input_value()) - 34) < 8
    page.keyboard.down("c")
    assert page.evaluate(clip) == "none"
    page.keyboard.up("c")
    assert page.evaluate(clip) != "none"

    where = """() => { const e = window.editor, p = e.image_container.position;
        return [p.x, p.y, e.scale_value]; }"""
    x, y = window.place(0.5, 0.5)
    page.mouse.move(x, y)
    fit = page.evaluate(where)
    for _ in range(6):
        page.mouse.wheel(0, -240)
    page.wait_for_function("s => window.editor.scale_value > 1.3 * s", arg=fit[2])
    window.wait_for_rest()
    zoomed = page.evaluate(where)
    marks = window.mask()
    page.mouse.move(x, y)
    page.keyboard.down("Space")
    page.mouse.down()
    page.mouse.move(x + 60, y + 25, steps=6)
    page.mouse.up()
    page.keyboard.up("Space")
    moved = "x => Math.abs(window.editor.image_container.position.x - x) > 40"
    page.wait_for_function(moved, arg=zoomed[0])
    assert np.array_equal(window.mask(), marks), "panning paints nothing"
    window.tool("rectangle")
    drag_box(window, 150, 110, 180, 130)
    assert (window.mask() & ~marks).any()

    page.keyboard.press("0")
    page.wait_for_function("s => Math.abs(window.editor.scale_value - s) < 0.02", arg=fit[2])


def test_a_finger_paints_too(chromium: Chromium, address: str, photo: Path) -> None:
    with Window.open(chromium, address, (1024, 768), touch=True) as window:
        window.open_picture(photo)
        window.page.touchscreen.tap(*window.place(0.5, 0.5))
        window.page.wait_for_selector("#over .frame")
        dot = window.mask()
        assert dot[HEIGHT // 2, WIDTH // 2] and dot.mean() < 0.1
        window.page.tap("#rail [data-tool=object]")
        assert window.page.get_attribute("#easel", "data-tool") == "object"
        window.expect_no_errors()
