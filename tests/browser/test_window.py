"""The window in a real Chromium, with real strokes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine import EditOptions, load_editor
from engine.picture.files import open_image, read_request
from tests.browser.chromium import Chromium
from tests.browser.conftest import SIZE
from tests.browser.window import Window

pytestmark = pytest.mark.browser


def test_a_photo_from_upload_to_download(window: Window, photo: Path, tmp_path: Path) -> None:
    """The main job: paint, run, pick, use, undo, extend, edit a region with a class, download."""
    window.open_picture(photo)
    assert "Paint over" in window.status
    window.stroke((0.3, 0.3), (0.6, 0.5))

    window.record_scales()
    window.run()
    window.wait_for_count("#preview .scales img", 3)
    assert window.seen_scales()[-1] == 3
    window.wait_for_results(2)
    window.wait_for_count("#compare img", 2)

    window.choose(1)
    window.press_and_wait("#use-result")
    window.press_and_wait("#undo")
    window.press_and_wait("#redo")

    window.task("Outpaint")
    window.fill("extend-right", "25%")
    window.page.wait_for_selector("#over .new")
    window.wait_for_text("#over .size", f"{SIZE[0] * 5 // 4} × {SIZE[1]}")
    window.run()
    window.press_and_wait("#use-result")
    assert window.page.get_attribute("#facts", "data-width") == str(SIZE[0] * 5 // 4)
    window.wait_for_count("#over .new", 0)

    window.task("Edit class")
    search_takes_the_class_that_fits_best(window)
    window.choose_label("bird")
    window.stroke((0.5, 0.4), (0.7, 0.6))
    window.run()
    window.press_and_wait("#use-result")

    saved = open_image(window.download())
    assert (saved.size, saved.mode) == ((SIZE[0] * 5 // 4, SIZE[1]), "RGB")
    request = read_request(saved)
    assert request is not None and '"task":"edit_class"' in request and '"bird"' in request
    window.wait_for_count("#history button", 4)


def search_takes_the_class_that_fits_best(window: Window) -> None:
    """Of "bowl" and "owl", which both hold the letters: the list's own order is the other one."""
    window.page.locator("#label input").click()
    window.page.keyboard.type("owl")
    window.page.wait_for_selector("#label [role=option].best")
    options = window.page.locator("#label [role=option]").all()
    rows = {row.get_attribute("aria-label"): row.bounding_box() for row in options}
    assert rows["owl"]["y"] < rows["bowl"]["y"]
    window.page.keyboard.press("Enter")
    window.page.wait_for_function("document.querySelector('#label input').value === 'owl'")


def test_the_window_makes_the_same_picture_as_python(
    window: Window, photo: Path, tiny_model_folder: Path
) -> None:
    window.open_picture(photo)
    window.stroke((0.4, 0.4), (0.6, 0.6))
    mask = open_image(window.download("#export-mask"))
    window.fill("seed", "11")
    window.set_variations(1)
    window.run()
    saved = window.download().read_bytes()

    editor = load_editor(str(tiny_model_folder), device="cpu")
    result = editor.inpaint(open_image(photo), mask, options=EditOptions(seed=11))
    assert saved == result.png(0)
    before, after = np.asarray(open_image(photo)), np.asarray(result.images[0])
    painted = np.asarray(mask) > 0
    assert painted.any() and not painted.all()
    assert (before == after).all(axis=2)[~painted].all()


def test_the_mask_stays_and_can_be_changed_after_a_run(window: Window, photo: Path) -> None:
    window.open_picture(photo)
    window.stroke((0.2, 0.3), (0.8, 0.3))
    window.run()
    once = np.asarray(open_image(window.download("#export-mask"))) > 0
    window.stroke((0.2, 0.7), (0.8, 0.7))
    twice = np.asarray(open_image(window.download("#export-mask"))) > 0
    assert once.sum() < twice.sum() and twice[once].all()

    window.page.keyboard.press("e")
    window.stroke((0.1, 0.3), (0.9, 0.3))
    thrice = np.asarray(open_image(window.download("#export-mask"))) > 0
    assert not thrice[round(0.3 * SIZE[1])].any()
    assert thrice[round(0.7 * SIZE[1])].any()


def test_a_mask_that_undo_brought_back_can_be_painted_on(window: Window, photo: Path) -> None:
    window.open_picture(photo)
    window.stroke((0.2, 0.3), (0.8, 0.3))
    window.run()
    window.press_and_wait("#use-result")
    window.press_and_wait("#undo")
    window.stroke((0.2, 0.7), (0.8, 0.7))
    mask = np.asarray(open_image(window.download("#export-mask"))) > 0
    assert mask[round(0.3 * SIZE[1])].any() and mask[round(0.7 * SIZE[1])].any()


def test_invert_grow_shrink_clear_and_import(window: Window, photo: Path, tmp_path: Path) -> None:
    """And each is a step that undo takes back, as the strokes before it are."""
    window.open_picture(photo)
    window.stroke((0.2, 0.3), (0.4, 0.3))
    once = window.mask()
    window.stroke((0.4, 0.5), (0.6, 0.5))
    twice = window.mask()
    assert twice.sum() > once.sum()
    window.change_mask("#mask-grow")
    grown = window.mask()
    assert grown.sum() > twice.sum() and grown[twice].all()
    window.change_mask("#mask-invert")
    assert np.array_equal(window.mask(), ~grown)
    window.change_mask("#mask-clear")
    window.wait_for_reason("Paint over something")
    version = window.version

    for before in (~grown, grown, twice, once):
        window.page.keyboard.press("Control+z")
        assert np.array_equal(window.mask(), before)
    window.page.keyboard.press("Control+y")
    assert np.array_equal(window.mask(), twice)
    window.page.click("#undo")
    assert np.array_equal(window.mask(), once), "the button does as the key"

    mask = Image.new("L", SIZE, 0)
    mask.paste(255, (30, 40, 130, 90))
    mask.save(tmp_path / "mask.png")
    before = window.page.get_attribute("#easel", "data-stamped")
    window.choose_file("#import-mask", tmp_path / "mask.png")
    window.wait_for_stamp(before)
    back = open_image(window.download("#export-mask"))
    assert back.getbbox() == (30, 40, 130, 90)
    assert window.version == version, "the picture was not put on the canvas anew"

    window.change_mask("#mask-clear")
    for key in ("Escape", "Enter"):  # the first button, the one that has the focus, is the no
        window.page.click("#mask-invert")
        window.page.wait_for_selector("#ask[open]")
        window.page.keyboard.press(key)
        window.page.wait_for_selector("#ask", state="hidden")
    window.wait_for_reason("Paint over something")
    window.page.click("#mask-invert")
    window.change_mask("#ask .main")
    assert window.mask().all()


def test_mistakes_are_told_in_words(window: Window, photo: Path, tmp_path: Path) -> None:
    window.wait_for_reason("Open a picture")
    window.open_picture(photo)
    window.wait_for_reason("Paint over something")
    window.stroke((0.4, 0.5), (0.6, 0.5))
    window.fill("seed", "seven")
    window.run("Seed:")
    window.page.wait_for_selector("#seed.wrong")
    window.page.wait_for_selector(".toast-body")
    assert window.is_in_reach("#import-mask"), "an error covers no button"
    window.fill("seed", "")
    window.task("Edit class")
    window.wait_for_reason("Choose a class")
    window.task("Outpaint")
    window.wait_for_reason("how far")
    window.fill("extend-left", "-3")
    window.run("must not be negative")
    window.page.wait_for_selector("#extend-left.wrong")

    notes = tmp_path / "notes.png"
    notes.write_text("no picture")
    window.choose_file("#open", notes)
    told = window.wait_for_status("notes.png")
    assert "Traceback" not in told and "/tmp" not in told
    assert "Traceback" not in window.page.inner_text("body")


def test_keys_work_with_other_alphabets_and_layouts(window: Window, photo: Path) -> None:
    def press(key: str, code: str, **also: bool) -> None:
        window.page.evaluate(
            """([key, code, also]) => document.body.dispatchEvent(new KeyboardEvent("keydown",
                {key, code, bubbles: true, cancelable: true, ...also}))""",
            [key, code, also],
        )

    window.open_picture(photo)
    window.stroke((0.2, 0.3), (0.4, 0.3))
    window.stroke((0.4, 0.5), (0.6, 0.5))
    twice = window.mask()
    press("я", "KeyZ", ctrlKey=True)
    once = window.mask()
    assert 0 < once.sum() < twice.sum()
    press("н", "KeyY", ctrlKey=True)
    assert np.array_equal(window.mask(), twice)
    press("у", "KeyE")
    window.page.wait_for_selector("#rail [data-tool=eraser][aria-pressed=true]")
    size = window.page.inner_text("#settings output")
    press("[", "Digit8", ctrlKey=True, altKey=True, modifierAltGraph=True)
    assert window.page.inner_text("#settings output") != size


def test_tools_rest_in_a_task_without_a_mask(window: Window, photo: Path) -> None:
    window.open_picture(photo)
    window.task("Outpaint")
    window.page.wait_for_selector("#rail [data-tool=brush]:disabled")
    window.stroke((0.2, 0.3), (0.4, 0.3))
    for key in ("r", "w"):
        window.page.keyboard.press(key)
        window.stroke((0.5, 0.5), (0.7, 0.7))
    assert window.page.locator("#mask-invert").is_disabled()
    window.task("Inpaint")
    window.wait_for_reason("Paint over something")
    window.tool("brush")
    window.stroke((0.2, 0.3), (0.4, 0.3))
    assert window.mask().any()


def test_a_list_opens_when_it_is_pressed_and_closes_when_something_else_is(
    window: Window, photo: Path
) -> None:
    window.open_picture(photo)
    page = window.page
    options = page.locator("[role=option]")
    page.locator("#task input").first.focus()
    for _ in range(12):
        page.keyboard.press("Tab")
    assert not page.locator("[role=combobox][aria-expanded=true]").count()
    options.first.wait_for(state="detached")
    page.click("#label input")
    options.first.wait_for()
    page.keyboard.press("Escape")
    options.first.wait_for(state="detached")
    page.click("#label input")
    options.first.wait_for()
    page.mouse.click(*window.place(0.5, 0.5))
    options.first.wait_for(state="detached")
    window.wait_for_reason("Paint over something")
    page.click("#label input")
    options.first.wait_for()
    page.keyboard.press("Tab")
    options.first.wait_for(state="detached")


def test_run_on_release(window: Window, photo: Path) -> None:
    window.open_picture(photo)
    window.page.click("#auto-run")
    window.stroke((0.3, 0.3), (0.6, 0.5))
    window.wait_for_status("Done")
    window.wait_for_results(2)


def test_cancel_takes_effect_and_the_next_run_works(window: Window, photo: Path) -> None:
    window.open_picture(photo)
    window.task("Outpaint")
    window.fill("extend-right", "400%")
    window.fill("extend-bottom", "400%")
    window.set_variations(8)
    window.run("Frame")
    window.page.click("#cancel")
    window.wait_for_status("Cancelled")
    window.set_variations(1)
    window.fill("extend-bottom", "")
    window.fill("extend-right", "10%")
    window.run()
    window.wait_for_results(1)


def test_two_windows_do_not_mix(
    chromium: Chromium, address: str, photo: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.png"
    Image.new("RGB", (200, 200), "teal").save(other)
    with Window.open(chromium, address) as one, Window.open(chromium, address) as two:
        one.open_picture(photo)
        two.open_picture(other)
        assert one.page.get_attribute("#facts", "data-width") == str(SIZE[0])
        assert two.page.get_attribute("#facts", "data-width") == "200"

        one.task("Outpaint")
        one.fill("extend-right", "400%")
        one.fill("extend-bottom", "400%")
        one.set_variations(8)
        two.stroke((0.3, 0.3), (0.6, 0.6))
        two.set_variations(1)
        one.run("Frame")
        two.page.click("#run")  # waits in the queue behind the other
        one.page.click("#cancel")
        one.wait_for_status("Cancelled")
        two.wait_for_status("Done")
        one.wait_for_results(0)
        assert open_image(two.download()).size == (200, 200)
        assert "Cancelled" in one.status
        one.expect_no_errors()
        two.expect_no_errors()


def test_hotkeys(window: Window, photo: Path) -> None:
    press = window.page.keyboard.press
    press("?")
    dialog = window.page.locator("#hotkeys")
    assert dialog.is_visible() and "Ctrl" in dialog.inner_text()
    press("Escape")
    assert not dialog.is_visible()

    window.open_picture(photo)
    selected = "#rail button[aria-label=%s][aria-pressed=true]"
    press("e")
    window.page.wait_for_selector(selected % "Eraser")
    press("b")
    window.page.wait_for_selector(selected % "Brush")

    window.stroke((0.3, 0.5), (0.6, 0.5))
    thin = np.asarray(open_image(window.download("#export-mask"))).any(axis=1).sum()
    press("Control+z")
    window.page.wait_for_selector("#undo[disabled]")
    for _ in range(5):
        press("]")
    window.stroke((0.3, 0.5), (0.6, 0.5))
    thick = np.asarray(open_image(window.download("#export-mask"))).any(axis=1).sum()
    assert thick > 1.5 * thin

    press("Control+Enter")
    window.wait_for_status("Done")
    window.page.wait_for_selector("#results .thumbnail-item >> nth=1")
    press("2")
    window.page.wait_for_function(
        "document.querySelectorAll('#results .thumbnail-item')[1].classList.contains('selected')"
    )
    before = window.version
    press("u")
    window.wait_for_canvas(before + 1)
    press("Control+z")
    window.wait_for_canvas(before + 2)
    press("Control+Shift+z")
    window.wait_for_canvas(before + 3)


def test_keys_in_a_field_are_text(window: Window, photo: Path) -> None:
    window.open_picture(photo)
    field = window.page.locator("#seed input, #seed textarea").first
    field.click()
    window.page.keyboard.type("be[]?u")
    assert field.input_value() == "be[]?u"
    assert not window.page.locator("#hotkeys").is_visible()


def test_generate_begins_from_nothing(window: Window) -> None:
    window.task("Generate")
    window.choose_label("boat")
    window.run()
    window.press_and_wait("#use-result")
    assert window.page.get_attribute("#facts", "data-width") == "32"


def test_a_turned_photo_is_upright_and_a_large_one_whole(
    window: Window, photo: Path, tmp_path: Path
) -> None:
    turned = tmp_path / "turned.jpg"
    image = Image.open(photo)
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(turned, exif=exif)
    window.open_picture(turned)
    assert window.page.get_attribute("#facts", "data-width") == str(SIZE[1])
    assert window.page.evaluate("[window.editor.width, window.editor.height]") == [SIZE[1], SIZE[0]]

    wide = tmp_path / "wide.png"
    Image.effect_noise((9000, 900), 60).convert("RGB").save(wide)
    before = window.version
    window.choose_file("#open", wide)
    window.wait_for_canvas(before + 1)
    assert window.page.evaluate("[window.editor.width, window.editor.height]") == [2048, 205]
    window.stroke((0.5, 0.4), (0.55, 0.6))
    mask = open_image(window.download("#export-mask"))
    assert mask.size == (9000, 900) and mask.getbbox() is not None
