"""A mistake in the form is shown where it was made, until it is mended."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.window import Window

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser

FIELD = "#{} [aria-invalid=true]"


def expect_marked(window: Window, name: str, words: str) -> None:
    """It is outlined, in sight, has the focus, and a screen reader is told why."""
    page = window.page
    page.wait_for_selector(f"#{name}.wrong")
    input_ = page.locator(FIELD.format(name)).first
    assert input_.evaluate("node => document.activeElement === node")
    assert words in page.inner_text(f"#{input_.get_attribute('aria-describedby')}")
    assert window.is_in_sight(f"#{name} input, #{name} textarea")
    assert page.evaluate(
        """name => [...document.querySelectorAll(`#${name}.wrong :is(input, textarea, .wrap)`)]
            .some((node) => getComputedStyle(node).outlineStyle === 'solid')""", name,
    )  # fmt: skip


def expect_no_mark(window: Window) -> None:
    window.page.wait_for_function(
        "!document.querySelector('.wrong, [aria-invalid], #wrong-why')"
    )


@pytest.mark.parametrize("size", [(1120, 620), (390, 844)])
def test_a_wrong_field_is_marked_until_it_is_changed(
    chromium: Browser, address: str, photo: Path, size: tuple[int, int]
) -> None:
    with Window.open(chromium, address, size) as window:
        page = window.page
        window.choose_file("#open", photo)
        window.wait_for_canvas(1)
        window.stroke((0.4, 0.5), (0.6, 0.5))
        window.fill("seed", "seven")
        window.run("Seed: expected a whole number")
        expect_marked(window, "seed", "whole number")
        page.keyboard.type("7")
        expect_no_mark(window)
        window.run("Seed:")  # "seven7", or "7" where the focus selects it all
        expect_marked(window, "seed", "whole number")
        page.evaluate("document.querySelector('#status .line').dataset.old = ''")
        page.click("#run")
        window.wait_for_status("Seed:")
        expect_marked(window, "seed", "whole number")  # the same again

        window.fill("seed", "")
        expect_no_mark(window)
        window.task("Outpaint")
        window.fill("extend-left", "-3")
        window.run("Extend left: must not be negative")
        expect_marked(window, "extend-left", "must not be negative")
        page.click("#aspect-1-1")  # which writes into it
        expect_no_mark(window)
        window.expect_no_errors()


def test_the_folds_of_a_wrong_field_open(window: Window, photo: Path) -> None:
    page = window.page
    window.open_picture(photo)
    window.stroke((0.4, 0.5), (0.6, 0.5))
    page.click("#advanced > button")
    window.fill("feather", "wide")
    page.click("#experts > button")
    window.fill("top-p", "2")
    page.click("#experts > button")
    page.click("#advanced > button")
    page.wait_for_selector("#feather", state="hidden")
    window.run("Feather: expected a whole number")
    expect_marked(window, "feather", "whole number")
    page.wait_for_selector("#top-p", state="hidden")
    window.fill("feather", "")
    page.click("#advanced > button")
    window.run("Top-p: must be at most 1")
    expect_marked(window, "top-p", "at most 1")
    window.fill("top-p", "")
    expect_no_mark(window)
    window.run()


def test_a_class_that_is_missing_is_asked_for_at_its_field(window: Window, photo: Path) -> None:
    page = window.page
    window.open_picture(photo)
    window.task("Edit class")
    window.stroke((0.4, 0.5), (0.6, 0.5))
    page.click("#region-add")
    window.wait_for_status("Class: choose a class first")
    expect_marked(window, "label", "choose a class first")
    assert page.get_attribute("#label input", "aria-expanded") != "true", "a mark opens no list"
    window.choose_label("bird")
    expect_no_mark(window)
