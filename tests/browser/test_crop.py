"""Another shape for the picture, in a real Chromium: by hand, by finger and by keyboard."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.picture.files import open_image
from tests.browser.chromium import Chromium
from tests.browser.conftest import SIZE
from tests.browser.test_axe import AXE, violations
from tests.browser.window import Window

pytestmark = pytest.mark.browser

WIDTH, HEIGHT = SIZE


def begin(window: Window, opener: str = "#show-crop") -> None:
    window.page.wait_for_selector(f"{opener}:not([disabled])")
    window.page.click(opener)
    window.page.wait_for_selector("#crop[open]")


def apply(window: Window) -> str:
    before = window.version
    window.page.click("#crop [data-end=apply]")
    window.wait_for_canvas(before + 1)
    return window.status


def frame(window: Window) -> list[float]:
    """Left, top, width and height of the frame in parts of the picture that is shown."""
    found: list[float] = window.page.evaluate(
        """() => {
            const f = document.querySelector("#crop .frame").getBoundingClientRect();
            const p = document.querySelector("#crop img").getBoundingClientRect();
            return [(f.left - p.left) / p.width, (f.top - p.top) / p.height,
                    f.width / p.width, f.height / p.height];
        }"""
    )
    return found


def drag(window: Window, edge: str, dx: float, dy: float) -> None:
    """Drag a handle of the frame, or all of it ("")."""
    name = f"#crop [data-edge={edge}]" if edge else "#crop .frame"
    box = window.page.locator(name).bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    window.page.mouse.move(x, y)
    window.page.mouse.down()
    window.page.mouse.move(x + dx, y + dy, steps=5)
    window.page.mouse.up()


def test_a_crop_is_dragged_and_is_a_step_of_the_history(window: Window, photo: Path) -> None:
    source = np.asarray(open_image(photo))
    window.open_picture(photo)
    window.stroke((0.6, 0.6), (0.8, 0.6))
    before = window.mask()
    begin(window)
    assert window.page.is_disabled("#crop [data-end=apply]"), "nothing to do yet"
    shown = window.page.locator("#crop img").bounding_box()
    assert shown is not None
    drag(window, "nw", shown["width"] / 4, shown["height"] / 2)
    assert frame(window) == pytest.approx([0.25, 0.5, 0.75, 0.5], abs=0.01)
    drag(window, "e", 400, 0)  # no further than the picture
    assert frame(window) == pytest.approx([0.25, 0.5, 0.75, 0.5], abs=0.01)
    drag(window, "", -1000, 0)  # moved as far as it goes
    drag(window, "", shown["width"] / 4, 0)
    left, top, wide, _ = frame(window)
    assert [left, top, wide] == pytest.approx([0.25, 0.5, 0.75], abs=0.01)
    size = [int(window.page.input_value(f"#crop [name={n}]")) for n in ("width", "height")]
    assert "Cropped" in apply(window)
    cropped = np.asarray(open_image(window.download()))
    assert [cropped.shape[1], cropped.shape[0]] == size
    x, y = WIDTH - size[0], HEIGHT - size[1]
    assert np.array_equal(cropped, source[y:, x:]), "the picture's own pixels"
    assert (window.mask() ^ before[y:, x:]).mean() < 0.01, "what is painted went along"

    window.press_and_wait("#undo")
    assert np.array_equal(np.asarray(open_image(window.download())), source)
    assert np.array_equal(window.mask(), before)
    window.press_and_wait("#redo")
    assert np.array_equal(np.asarray(open_image(window.download())), cropped)
    window.set_variations(1)
    window.run()  # and it can be edited
    assert open_image(window.download()).size == tuple(size)


def test_straightening_shows_the_largest_frame_and_makes_it(window: Window, photo: Path) -> None:
    window.open_picture(photo)
    begin(window)
    slider = window.page.locator("#crop [type=range]")
    slider.fill("10")
    wide, high = (int(window.page.input_value(f"#crop [name={n}]")) for n in ("width", "height"))
    assert 0.5 < wide * high / (WIDTH * HEIGHT) < 0.85
    window.page.select_option("#crop select", "1:1")
    side, other = (int(window.page.input_value(f"#crop [name={n}]")) for n in ("width", "height"))
    assert side == other and 0.7 * HEIGHT < side < HEIGHT
    slider.focus()
    window.page.keyboard.press("ArrowLeft")
    assert window.page.inner_text("#crop output") == "9.9°"
    window.page.fill("#crop [name=width]", "100")
    assert apply(window).startswith("Straightened and resized")
    assert open_image(window.download()).size == (100, 100)
    window.page.wait_for_selector("#history .thumbnail-item[aria-label^=Straightened]")


def test_a_crop_by_keyboard_alone(window: Window, photo: Path) -> None:
    source = np.asarray(open_image(photo))
    window.open_picture(photo)
    window.page.keyboard.press("t")
    window.page.wait_for_selector("#crop[open]")
    window.page.keyboard.press("Escape")
    window.page.wait_for_selector("#crop:not([open])", state="attached")
    window.page.keyboard.press("t")
    window.page.wait_for_selector("#crop[open]")
    for _ in range(4):  # past the corner at the top left, the top edge and the next corner
        window.page.keyboard.press("Tab")
    assert "Right edge" in str(window.page.evaluate("document.activeElement.ariaLabel"))
    window.page.keyboard.press("ArrowLeft")
    wide = int(window.page.input_value("#crop [name=width]"))
    assert wide < WIDTH and int(window.page.input_value("#crop [name=height]")) == HEIGHT
    before = window.version
    window.page.keyboard.press("Enter")
    window.wait_for_canvas(before + 1)
    assert np.array_equal(np.asarray(open_image(window.download())), source[:, :wide])


def test_a_phone_turns_and_crops(chromium: Chromium, address: str, photo: Path) -> None:
    source = open_image(photo)
    with Window.open(chromium, address, (390, 844), touch=True) as window:
        window.choose_file("#open", photo)
        window.wait_for_canvas(1)
        window.scroll_to("#show-crop")
        begin(window)
        for name in ("[data-turn='1']", "select", "[name=height]", "[data-end=apply]"):
            assert window.is_in_sight(f"#crop {name}"), name
        window.page.evaluate(AXE)
        assert not violations(window)
        window.page.tap("#crop [data-turn='1']")
        grip = window.page.locator("#crop [data-edge=s]").bounding_box()
        assert grip is not None
        x, y = grip["x"] + 22, grip["y"] + 22
        touch = window.page.context.new_cdp_session(window.page)
        for kind, places in (
            ("touchStart", [{"x": x, "y": y}]), ("touchMove", [{"x": x, "y": y - 30}]),
            ("touchMove", [{"x": x, "y": y - 120}]), ("touchEnd", []),
        ):  # fmt: skip
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})
        window.page.wait_for_function(
            f"document.querySelector('#crop [name=height]').value < {WIDTH}"
        )
        high = int(window.page.input_value("#crop [name=height]"))
        assert apply(window).startswith("Turned and cropped")
        saved = np.asarray(open_image(window.download()))
        assert np.array_equal(saved, np.rot90(np.asarray(source), -1)[:high])
        window.expect_no_errors()
