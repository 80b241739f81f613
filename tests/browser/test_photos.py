"""Photos as people have them, in a real Chromium: larger than the canvas's copy, partly clear,
saved by varpaint itself; and what is drawn over them in one task and not in another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.picture.files import open_image
from tests.browser.marks import drag_box
from tests.browser.window import Window

pytestmark = pytest.mark.browser

SEEN = "#easel > img.seen"
PIXELS = """([x, y, wide, high]) => new Promise((done) => {
    const { app } = window.editor;
    app.renderer.render(app.stage);
    const seen = document.createElement("canvas");
    [seen.width, seen.height] = [wide, high];
    const pen = seen.getContext("2d");
    pen.drawImage(app.canvas, x, y, wide, high, 0, 0, wide, high);
    done([...pen.getImageData(0, 0, wide, high).data]);
})"""


def test_real_pixels_come_where_a_large_picture_is_magnified(
    window: Window, tmp_path: Path
) -> None:
    fine = np.zeros((3000, 4500, 3), np.uint8)
    fine[:, ::2] = 255  # single columns, which the canvas's copy cannot show
    Image.fromarray(fine).save(tmp_path / "fine.png")
    window.open_picture(tmp_path / "fine.png")
    window.page.click("#zoom [data-zoom=real]")
    window.wait_for_rest()
    window.page.wait_for_function(
        "window.editor.layer_manager.background_layer.children.length > 1"
    )
    assert window.page.inner_text("#zoom [data-zoom=real]") == "100 %"
    for _ in range(50):  # drawn with one of the next frames
        seen = np.array(window.page.evaluate(PIXELS, [300, 200, 60, 1])).reshape(60, 4)[:, 0]
        if np.median(np.abs(np.diff(seen.astype(int)))) > 100:
            break
        window.page.wait_for_timeout(100)
    else:
        raise AssertionError(f"columns of one pixel are not seen apart: {seen}")
    window.page.keyboard.press("0")
    window.wait_for_rest()
    window.stroke((0.4, 0.4), (0.6, 0.5))
    window.set_variations(1)
    window.run()
    window.page.wait_for_selector(SEEN)
    window.page.click("#zoom [data-zoom=real]")
    window.page.wait_for_selector("#easel > img.sharp", state="attached")


def test_what_is_clear_is_a_checkerboard(window: Window, tmp_path: Path) -> None:
    image = Image.new("RGBA", (240, 160), (0, 0, 0, 0))
    image.paste((200, 30, 30, 255), (0, 0, 120, 160))
    image.save(tmp_path / "clear.png")
    window.open_picture(tmp_path / "clear.png")
    x, y = window.place(0.75, 0.5)
    canvas = window.page.locator("#canvas .pixi-target canvas").bounding_box()
    assert canvas is not None
    where = [round(x - canvas["x"]) - 40, round(y - canvas["y"]), 80, 1]
    seen = np.array(window.page.evaluate(PIXELS, where)).reshape(80, 4)[:, 0]
    assert len({int(value) // 12 for value in seen}) > 1, f"two greys, not white: {seen}"


def test_settings_that_a_picture_brings_are_told_and_can_be_left(
    window: Window, photo: Path
) -> None:
    window.open_picture(photo)
    window.task("Outpaint")
    window.fill("extend-right", "64")
    window.fill("seed", "5")
    window.set_variations(1)
    window.run()
    saved = window.download()
    before = window.version
    window.choose_file("#open", saved)
    window.wait_for_canvas(before + 1)
    told = window.wait_for_status("Opened with the settings that made it")
    assert "right 64" in told and "seed 5" in told
    window.page.click("#leave-settings")
    window.wait_for_status("The usual settings")
    for name in ("seed", "extend-right"):
        window.page.wait_for_function(
            "name => document.querySelector(`#${name} :is(input, textarea)`).value === ''", arg=name
        )
    window.page.wait_for_selector("#leave-settings", state="hidden")


def test_regions_and_results_are_drawn_for_their_own_task_only(
    window: Window, photo: Path
) -> None:
    page = window.page
    window.open_picture(photo)
    window.task("Edit class")
    window.tool("rectangle")
    drag_box(window, 150, 110, 180, 130)
    window.choose_label("owl")
    window.press_and_wait("#region-add")
    over = page.locator("#easel > img.regions-over")
    over.wait_for()
    window.task("Outpaint")
    over.wait_for(state="detached")
    window.fill("extend-right", "25%")
    window.set_variations(1)
    window.run()
    page.wait_for_selector(SEEN)
    window.task("Inpaint")
    page.wait_for_selector(SEEN, state="detached")
    assert not page.locator("#flip").is_visible()
    with Image.open(window.download()) as saved, Image.open(photo) as opened:
        assert saved.size == opened.size, "what is saved is what is seen"
    window.task("Outpaint")
    page.wait_for_selector(SEEN)


def test_what_is_painted_shows_on_a_picture_of_its_own_colour(
    window: Window, tmp_path: Path
) -> None:
    Image.new("RGB", (300, 200), (255, 45, 120)).save(tmp_path / "pink.png")
    window.open_picture(tmp_path / "pink.png")
    window.stroke((0.3, 0.5), (0.7, 0.5))
    marks = window.page.locator("#easel > canvas.marks")
    marks.wait_for()
    light, dark = window.page.evaluate(
        """() => {
            const sheet = document.querySelector("#easel > canvas.marks");
            const { data } = sheet.getContext("2d").getImageData(0, 0, sheet.width, sheet.height);
            let light = 0, dark = 0;
            for (let at = 0; at < data.length; at += 4) {
                if (data[at + 3] > 150) data[at] > 200 ? light++ : dark++;
            }
            return [light, dark];
        }"""
    )
    assert light > 200 and dark > 200, "an outline of two tones"
    window.change_mask("#mask-clear")
    marks.wait_for(state="detached")


def test_the_outline_of_what_is_painted_has_its_place_before_it_is_seen(
    window: Window, photo: Path
) -> None:
    window.open_picture(photo)
    window.page.evaluate(
        """() => new MutationObserver((changes, observer) => {
            const sheet = document.querySelector("#easel > canvas.marks");
            if (!sheet) return;
            observer.disconnect();
            const home = document.querySelector("#easel").getBoundingClientRect();
            const { left, top, width, height } = sheet.getBoundingClientRect();
            const box = window.varpaint.pictureBox();
            window.placed = [
                [left - home.left, top - home.top, width, height],
                [box.left, box.top, box.width, box.height],
            ];
        }).observe(document.querySelector("#easel"), { childList: true })"""
    )
    window.stroke((0.3, 0.5), (0.7, 0.5))
    window.page.wait_for_function("window.placed")
    seen, picture = window.page.evaluate("window.placed")
    assert seen == pytest.approx(picture, abs=1)


def test_a_search_that_finds_nothing_says_what_is_near(window: Window, photo: Path) -> None:
    page = window.page
    window.open_picture(photo)
    slow = page.context.new_cdp_session(page)
    slow.send("Emulation.setCPUThrottlingRate", {"rate": 4})  # the list comes some frames later
    page.locator("#label input").click()
    page.wait_for_selector("#label [role=option]")
    page.keyboard.type("owll")
    page.wait_for_selector(".near")
    assert page.inner_text(".near").startswith("Nothing found. Near: owl")
    page.click(".near button >> text=owl")
    page.wait_for_function("document.querySelector('#label input').value.startsWith('owl')")
    page.wait_for_selector(".near", state="detached")


def test_the_colour_of_the_mask_is_a_choice_that_stays(window: Window, photo: Path) -> None:
    page = window.page
    window.open_picture(photo)
    window.stroke((0.3, 0.5), (0.7, 0.5))
    marks = window.mask()
    x, y = window.place(0.5, 0.5)
    canvas = page.locator("#canvas .pixi-target canvas").bounding_box()
    assert canvas is not None
    where = [round(x - canvas["x"]), round(y - canvas["y"]), 1, 1]
    red, green, *_ = page.evaluate(PIXELS, where)
    assert red > green
    page.click("#settings .colour")
    page.wait_for_function(
        f"where => ({PIXELS})(where).then(([red, green]) => green > red)", arg=where
    )
    assert np.array_equal(window.mask(), marks)
    window.set_variations(1)
    window.run()
    window.press_and_wait("#flip .use")
    window.press_and_wait("#undo")  # the mask comes back from the server
    page.wait_for_function(
        f"where => ({PIXELS})(where).then(([red, green]) => green > red)", arg=where
    )


def test_a_photograph_as_a_mask_is_asked_about(window: Window, photo: Path) -> None:
    window.open_picture(photo)
    window.stroke((0.2, 0.3), (0.4, 0.3))
    painted = window.mask()
    for answer in ("no", "yes"):
        before = window.page.get_attribute("#easel", "data-stamped")
        window.choose_file("#import-mask", photo)
        window.page.wait_for_selector("#ask[open]")
        assert "photograph" in window.page.inner_text("#ask")
        window.page.click(f"#ask [value={answer}]")
        window.wait_for_stamp(before)
        if answer == "no":
            assert np.array_equal(window.mask(), painted)
    bright = np.asarray(open_image(photo)).max(axis=2) >= 128
    assert np.array_equal(window.mask(), bright)
    window.page.keyboard.press("Control+z")
    assert np.array_equal(window.mask(), painted)
