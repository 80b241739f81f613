"""The canvas's tools in a real Chromium: shapes, things, the original's brush, what the model sees,
keys, drops and pastes."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageDraw

from engine import EditOptions, EditRequest, load_editor
from engine.picture.files import open_image
from tests.browser.conftest import SIZE
from tests.browser.window import PATIENCE, Window

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Route

pytestmark = pytest.mark.browser

WIDTH, HEIGHT = SIZE
DISC = (210, 60, 310, 160)
SENT = """([name, type, data, event, target, shift]) => {
    const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
    const bag = new DataTransfer();
    bag.items.add(new File([bytes], name, {type}));
    const options = {bubbles: true, cancelable: true, shiftKey: shift};
    const aim = () => document.querySelector(target);
    if (event === "paste") {
        aim().dispatchEvent(new ClipboardEvent("paste", {...options, clipboardData: bag}));
        return;
    }
    document.body.dispatchEvent(new DragEvent("dragover", {...options, dataTransfer: bag}));
    aim().dispatchEvent(new DragEvent("drop", {...options, dataTransfer: bag}));
}"""


@pytest.fixture
def thing(tmp_path: Path) -> Path:
    """A photo-like picture with a red disc."""
    rng = np.random.default_rng(3)
    ground = np.clip(rng.normal((70, 120, 150), 6, (HEIGHT, WIDTH, 3)), 0, 255).astype(np.uint8)
    image = Image.fromarray(ground)
    ImageDraw.Draw(image).ellipse(DISC, fill=(215, 60, 40))
    image.save(tmp_path / "thing.png")
    return tmp_path / "thing.png"


def box(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[top:bottom, left:right] = True
    return mask


def overlap(one: np.ndarray, two: np.ndarray) -> float:
    return float((one & two).sum() / (one | two).sum())


def drag_box(window: Window, left: int, top: int, right: int, bottom: int) -> None:
    window.stroke((left / WIDTH, top / HEIGHT), (right / WIDTH, bottom / HEIGHT))


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
    chromium: Browser, address: str, photo: Path
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


def send(
    window: Window, path: Path, event: str, target: str = "body", *, shift: bool = False
) -> None:
    """Drop a file somewhere, or paste it."""
    data = base64.b64encode(path.read_bytes()).decode()
    kind = "image/png" if path.suffix == ".png" else "image/jpeg"
    window.page.evaluate(SENT, [path.name, kind, data, event, target, shift])


def test_drop_paste_and_a_mask_dragged_in(
    window: Window, photo: Path, thing: Path, tmp_path: Path
) -> None:
    send(window, photo, "drop", "#canvas")
    window.wait_for_canvas(1)
    assert "Paint over" in window.status
    send(window, thing, "paste")
    window.wait_for_canvas(2)

    Image.fromarray(box(30, 40, 130, 90)).save(tmp_path / "mask.png")
    send(window, tmp_path / "mask.png", "drop", "#drop [data-as=mask]")
    window.wait_for_stamp(None)
    assert np.array_equal(window.mask(), box(30, 40, 130, 90))
    Image.fromarray(box(200, 10, 220, 90)).save(tmp_path / "other.png")
    before = window.page.get_attribute("#easel", "data-stamped")
    send(window, tmp_path / "other.png", "drop", "#canvas", shift=True)
    window.wait_for_stamp(before)
    assert np.array_equal(window.mask(), box(200, 10, 220, 90))
    assert window.page.locator("#drop").is_hidden()


def test_a_class_stays_with_the_tasks_that_need_one(window: Window, photo: Path) -> None:
    window.open_picture(photo)
    shown = "document.querySelector('#label input').value"
    window.task("Edit class")
    window.page.wait_for_function(f"{shown}.startsWith('Choose')")
    window.choose_label("hills")
    window.task("Outpaint")
    window.page.wait_for_function(f"{shown}.startsWith('No class')")
    window.task("Inpaint")
    window.page.wait_for_function(f"{shown}.startsWith('No class')")
    window.task("Generate")
    window.page.wait_for_function(f"{shown} === 'hills'")
    window.task("Edit class")
    window.page.wait_for_function(f"{shown} === 'hills'")


def test_a_class_chosen_before_the_server_has_answered_stays(window: Window, photo: Path) -> None:
    window.open_picture(photo)
    page = window.page
    answers: list[Route] = []
    page.route("**/queue/join*", lambda route: answers.append(route))  # events are held back
    page.locator("#task label", has_text="Edit class").click()
    page.wait_for_function("document.querySelector('#task input[value=edit_class]').checked")
    for _ in range(PATIENCE // 20):
        if answers:
            break
        page.wait_for_timeout(20)
    assert answers
    window.choose_label("hills")
    while answers:
        answers.pop(0).continue_()
    page.wait_for_selector("#label :text-is('Class')")  # it has come: no longer "optional"
    assert page.locator("#label input").input_value() == "hills"


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
    chromium: Browser, address: str, photo: Path, size: tuple[int, int]
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


def test_a_finger_paints_too(chromium: Browser, address: str, photo: Path) -> None:
    with Window.open(chromium, address, (1024, 768), touch=True) as window:
        window.open_picture(photo)
        window.page.touchscreen.tap(*window.place(0.5, 0.5))
        window.page.wait_for_selector("#over .frame")
        dot = window.mask()
        assert dot[HEIGHT // 2, WIDTH // 2] and dot.mean() < 0.1
        window.page.tap("#rail [data-tool=object]")
        assert window.page.get_attribute("#easel", "data-tool") == "object"
        window.expect_no_errors()
