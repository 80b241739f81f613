"""Coming back, going on and taking along, in a real Chromium: refresh, line, results, regions,
projects."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine import load_editor
from engine.picture.files import open_image, read_request
from engine.request import EditRequest, Region
from engine.request.options import EditOptions
from tests.browser.chromium import Chromium
from tests.browser.conftest import SIZE
from tests.browser.window import Window

pytestmark = pytest.mark.browser


def field(window: Window, name: str) -> str:
    return window.page.locator(f"#{name} input, #{name} textarea").first.input_value()


def wait_for_field(window: Window, name: str, value: str) -> None:
    """A field that a fold hides is put on the page when that is opened, and filled after that."""
    window.page.wait_for_function(
        "([name, value]) => document.querySelector(`#${name} input, #${name} textarea`)?.value"
        " === value",
        arg=[name, value],
    )


def field_is_kept(window: Window, name: str, value: str) -> None:
    """The page keeps its fields when Gradio tells it of a change."""
    window.page.wait_for_function(
        "([name, value]) => String(JSON.parse(sessionStorage.getItem('varpaint-fields') ?? '{}')"
        "[name]) === value",
        arg=[name, value],
    )


def painted_is_kept(window: Window) -> None:
    """The page keeps what is painted a moment after the stroke."""
    window.page.wait_for_function(
        "JSON.parse(sessionStorage.getItem('varpaint-mask') ?? '{}').version"
        " === Number(document.querySelector('#facts').dataset.version)"
    )


def wait_for_note(window: Window, words: str) -> None:
    """The line below the variations follows the chosen one when the server has heard of it."""
    window.page.wait_for_function(
        "words => document.querySelector('#result-note .small')?.innerText.startsWith(words)",
        arg=words,
    )


def long_run(window: Window) -> None:
    window.task("Outpaint")
    window.fill("extend-right", "400%")
    window.fill("extend-bottom", "400%")
    window.set_variations(8)


def test_a_refresh_loses_nothing(window: Window, photo: Path) -> None:
    window.open_picture(photo)
    window.stroke((0.3, 0.3), (0.6, 0.5))
    window.fill("seed", "17")
    window.run()
    window.press_and_wait("#use-result")
    window.stroke((0.2, 0.7), (0.8, 0.7))
    before = np.asarray(open_image(window.download("#export-mask")))
    shown = window.wait_for_results(2)
    window.page.locator("#advanced > button").click()
    window.fill("feather", "3")
    field_is_kept(window, "feather", "3")
    painted_is_kept(window)

    window.reload()
    assert np.array_equal(np.asarray(open_image(window.download("#export-mask"))), before)
    window.page.locator("#advanced > button").click()
    wait_for_field(window, "feather", "3")
    assert field(window, "seed") == "17"
    assert window.wait_for_results(2) == shown
    window.wait_for_count("#compare img", 2)
    window.wait_for_count("#history button", 2)
    window.press_and_wait("#undo")
    window.press_and_wait("#redo")
    window.page.locator("#history button").first.click()
    window.page.wait_for_selector("#undo[disabled]")

    window.reload()  # and once more: the first step of the history is where it was
    assert window.page.locator("#undo").is_disabled()
    mask = np.asarray(open_image(window.download("#export-mask"))) > 0
    assert mask[round(0.35 * SIZE[1])].any() and not mask[round(0.7 * SIZE[1])].any()


def canvas_is_right(window: Window) -> None:
    """The drawing fills its place, and the picture, as it is, is all in it."""
    window.wait_for_rest()
    place, drawing = (
        window.page.locator(name).bounding_box()
        for name in ("#canvas .pixi-target", "#canvas .pixi-target canvas")
    )
    assert place is not None and drawing is not None
    assert [drawing["width"], drawing["height"]] == pytest.approx(
        [place["width"], place["height"]], abs=2
    )
    assert window.page.evaluate("[window.editor.width, window.editor.height]") == list(SIZE)
    (left, top), (right, bottom) = window.place(0, 0), window.place(1, 1)
    assert drawing["x"] <= left < right <= drawing["x"] + drawing["width"]
    assert drawing["y"] <= top < bottom <= drawing["y"] + drawing["height"]


def test_a_run_goes_on_over_a_refresh(window: Window, photo: Path) -> None:
    window.open_picture(photo)
    window.task("Outpaint")
    window.fill("extend-right", "200%")
    window.set_variations(4)
    window.page.add_init_script(
        """window.told = [];
        new MutationObserver(() => {
            const now = document.querySelector("#status .line")?.innerText;
            if (now && now !== window.told.at(-1)) window.told.push(now);
        }).observe(document, {subtree: true, childList: true, characterData: true})"""
    )
    window.page.evaluate(  # at once: a moment later it may have ended
        """() => new MutationObserver(() => {
            if (document.querySelector("#status")?.innerText.includes("Frame")) location.reload();
        }).observe(document.body, {subtree: true, childList: true, characterData: true})"""
    )
    with window.page.expect_event("domcontentloaded"):
        window.page.click("#run")
    window.wait_for_status("Done")
    window.forget_the_page_left()
    window.wait_for_results(4)
    window.page.wait_for_selector("#run:not([disabled])")
    told = window.page.evaluate("window.told")
    assert not any("press Run" in line for line in told[1:]), "there is nothing to do but to wait"
    window.page.click("#flip .toggle")
    window.fill("extend-right", "")
    canvas_is_right(window)


def test_a_duplicated_tab_has_the_picture_as_it_is(window: Window, photo: Path) -> None:
    window.open_picture(photo)
    window.stroke((0.3, 0.3), (0.6, 0.5))
    painted_is_kept(window)
    mask = window.mask()
    with window.page.context.expect_page() as opened:
        window.page.evaluate("window.open(location.href)")
    other = Window(opened.value)
    other.page.wait_for_selector("#canvas.filled")
    other.wait_for_canvas(other.version)
    canvas_is_right(other)
    assert np.array_equal(other.mask(), mask)
    other.page.close()


def test_two_windows_of_one_browser_do_not_mix_and_see_their_place_in_line(
    window: Window, photo: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.png"
    Image.new("RGB", (200, 200), "teal").save(other)
    with window.beside() as beside:
        window.open_picture(photo)
        beside.open_picture(other)
        beside.stroke((0.3, 0.3), (0.6, 0.6))
        beside.set_variations(1)
        painted_is_kept(beside)
        beside.reload()
        assert beside.page.get_attribute("#facts", "data-width") == "200"
        assert window.page.get_attribute("#facts", "data-width") == str(SIZE[0])

        long_run(window)
        window.run("Frame")
        beside.run("1 run is before yours")
        beside.page.click("#cancel")
        beside.wait_for_status("Cancelled")
        assert "Cancel" not in window.status
        beside.run("1 run is before yours")
        window.page.click("#cancel")
        window.wait_for_status("Cancelled")
        beside.wait_for_status("Done")
        assert open_image(beside.download()).size == (200, 200)
        window.wait_for_results(0)
        beside.wait_for_results(1)
        beside.expect_no_errors()


def test_more_like_this_keep_and_download_without_using(window: Window, photo: Path) -> None:
    window.open_picture(photo)
    window.stroke((0.3, 0.3), (0.6, 0.5))
    window.fill("seed", "7")
    window.run()
    captions = window.wait_for_results(2)
    assert sorted(caption[-1] for caption in captions) == ["7", "8"]
    seed = captions[1][-1]  # the best comes first, whichever that is
    window.choose(1)
    wait_for_note(window, f"#2 · seed {seed}")
    window.page.click("#keep")
    window.wait_for_status("Kept")
    window.page.click("#more")
    window.page.wait_for_function(
        "words => document.querySelector('#result-note')?.innerText.includes(words)",
        arg=f"first scale of seed {seed}",
    )
    window.wait_for_status("Done")
    captions = window.wait_for_results(3)
    assert f"first scale of seed {seed}" in window.page.inner_text("#result-note")
    request = read_request(open_image(window.download())) or ""
    assert f'"coarse_seeds":[{seed}]' in request
    assert captions[2] == f"★ #3 · seed {seed}"
    window.choose(2)
    wait_for_note(window, f"#3 · seed {seed}")
    assert f'"seed":{seed}' in (read_request(open_image(window.download())) or "")
    assert window.page.get_attribute("#facts", "data-undo") == "0", "nothing was used"


def test_regions_each_with_a_class(
    window: Window, photo: Path, tiny_model_folder: Path, tmp_path: Path
) -> None:
    window.open_picture(photo)
    window.task("Edit class")
    masks = []
    for name, y in (("bird", 0.3), ("boat", 0.7), ("hills", 0.5)):
        window.choose_label(name)
        window.stroke((0.3, y), (0.5, y))
        masks.append(open_image(window.download("#export-mask")))
        if name != "hills":
            window.press_and_wait("#region-add")
    assert window.page.locator(".regions li span").all_inner_texts() == ["bird", "boat"]
    window.press_and_wait(".regions button >> nth=0")
    assert window.page.locator(".regions li span").all_inner_texts() == ["boat"]
    window.fill("seed", "5")
    window.set_variations(1)
    window.run()
    saved = window.download().read_bytes()
    regions = (Region(mask=masks[1], label="boat"), Region(mask=masks[2], label="hills"))
    request = EditRequest(
        task="edit_class", image=open_image(photo), regions=regions, options=EditOptions(seed=5)
    )
    assert saved == load_editor(str(tiny_model_folder), device="cpu").run(request).png(0)


def test_a_project_and_a_saved_png_bring_their_settings(
    window: Window, chromium: Chromium, address: str, photo: Path
) -> None:
    window.open_picture(photo)
    window.stroke((0.3, 0.3), (0.6, 0.5))
    window.fill("seed", "7")
    window.run()
    png = window.download()
    window.press_and_wait("#use-result")
    project = window.download("#save-project")
    assert project.name == "photo.varpaint"
    with Window.open(chromium, address) as other:
        opened = other.version
        other.choose_file("#open", project)
        other.wait_for_status("The project is open, 2 steps")
        other.wait_for_canvas(opened + 1)
        assert field(other, "seed") == "7"
        other.wait_for_results(2)
        other.press_and_wait("#undo")
        other.fill("seed", "99")
        before = other.version
        other.choose_file("#open", png)
        other.wait_for_status("settings that made it")
        other.wait_for_canvas(before + 1)
        made = json.loads(read_request(open_image(png)) or "{}")["options"]["seed"]
        assert field(other, "seed") == str(made)
        damaged = photo.parent / "damaged.varpaint"
        damaged.write_bytes(project.read_bytes()[:2000])
        other.choose_file("#open", damaged)
        assert "Traceback" not in other.wait_for_status("damaged.varpaint: is damaged")
        other.expect_no_errors()


def test_the_canvas_is_not_sent_back_at_every_change(window: Window, photo: Path) -> None:
    """Gradio asks its editor for its value again and again, which would be a picture each time."""
    window.open_picture(photo)
    window.stroke((0.3, 0.3), (0.6, 0.5))
    window.run()
    sent: list[str] = []
    window.page.on("request", lambda asked: sent.append(asked.url.partition("?")[0]))
    window.press_and_wait("#use-result")
    window.press_and_wait("#undo")
    window.press_and_wait("#redo")
    assert any(url.endswith("/queue/join") for url in sent)
    assert sum(url.endswith("/upload") for url in sent) <= 6  # there were fifty
