"""No violation of WCAG 2.2 AA that axe-core can find, on each screen of the window."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

from tests.browser.chromium import Chromium
from tests.browser.window import Window

pytestmark = pytest.mark.browser

AXE = (Path(__file__).parent / "axe" / "axe.min.js").read_text(encoding="utf-8")
FIND = """async () => {
    const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];
    const found = await axe.run(document, {runOnly: tags, resultTypes: ["violations"]});
    const where = (one) => one.nodes.map((node) => node.target.join(" "));
    return found.violations.map((one) => [one.id, ...where(one)]);
}"""
# names, and lists, come by and by
CALM = """() => !document.querySelector(
        '.thumbnail-item[aria-label^="Thumbnail"], .toast-header[role]')
    && (!document.querySelector('#canvas .image-container')
        || document.querySelector('#canvas .image-container[role]'))
    && !document.getAnimations().some((one) => one.playState === 'running')"""
SMALL = 680  # pixels of width up to which some buttons are behind others
TOOLS = ("eraser", "rectangle", "lasso", "object", "original", "pan", "brush")
OFFER = """<div class="offer" data-then="1"><p>Your last work is still here: photo<span></span>.
    <button type="button" data-do="go-on">Go on with it</button></p>
    <button type="button" class="close" aria-label="Close this note">✕</button></div>"""


def violations(window: Window) -> list[list[str]]:
    window.page.wait_for_function(CALM)
    found: list[list[str]] = window.page.evaluate(FIND)
    return found


def lists(window: Window, *names: str) -> Iterator[str]:
    """Each of these lists, while it is open."""
    for name in names:
        window.page.locator(f"#{name} input").click()
        window.page.wait_for_selector(f"#{name} [role=listbox]")
        yield f"the list of {name}"
        window.page.keyboard.press("Escape")
        window.page.click("#brand")


def menus(window: Window, small: bool) -> Iterator[str]:
    """Each popover and menu of the tools, while it is open."""
    page = window.page
    for opener in ("#show-examples", *(("#more-mask", "#more-files") if small else ())):
        page.click(opener)
        page.wait_for_selector(f"{opener}[aria-expanded=true]")
        yield opener
        if opener != "#more-files":
            page.keyboard.press("Escape")
            page.wait_for_selector(f"{opener}[aria-expanded=false]")
            assert page.evaluate("document.activeElement.id") == opener.removeprefix("#")
    yield from lists(window, "format", "model")
    for tool in TOOLS:
        window.tool(tool)
        yield f"the settings of the {tool}"
    for _ in range(3):
        page.click("#settings .colour")
        yield "another colour for the mask"


def dialogs(window: Window) -> Iterator[str]:
    """Each dialog, while it is open."""
    page = window.page
    for opener, dialog in (("#mask-invert", "ask"), ("#show-crop", "crop"),
                           ("#model-note .note", "models"), ("#help", "hotkeys")):  # fmt: skip
        page.locator(opener).evaluate("button => button.click()")  # some are behind another
        page.wait_for_selector(f"#{dialog}[open]")
        yield dialog
        page.keyboard.press("Escape")
        page.wait_for_selector(f"#{dialog}", state="hidden")


def forms(window: Window) -> Iterator[str]:
    """The form in its states, of which some are wrong."""
    page = window.page
    page.click("#advanced > button")
    page.click("#experts > button")
    page.wait_for_selector("#top-p")
    yield "all folds"
    yield from lists(window, "blend")
    page.click("#advanced > button")
    window.task("Outpaint")
    window.fill("extend-right", "many")
    window.run("Extend right:")
    page.wait_for_selector(".toast-body")
    yield "a wrong field"
    page.click("#aspect-1-1")
    page.wait_for_selector("#aspect-1-1[aria-pressed=true]")
    yield "an extension"
    window.task("Edit class")
    yield "a class edit"
    yield from lists(window, "label")
    page.locator("#label input").click()
    page.keyboard.type("owel")
    page.wait_for_selector(".near")
    yield "a search without an end"
    page.keyboard.press("Escape")
    page.click("#brand")
    window.choose_label("bird")
    window.stroke((0.2, 0.2), (0.3, 0.3))
    page.click("#region-add")
    page.wait_for_selector("#regions .regions")
    yield "a region"
    window.task("Generate")
    yield "a new picture"
    window.task("Inpaint")


def results(window: Window) -> Iterator[str]:
    """From a result to the history."""
    page = window.page
    window.stroke((0.4, 0.4), (0.6, 0.6))
    window.run()
    page.wait_for_selector("#easel > img.seen")
    yield "a result"
    page.click("#flip .split")
    page.wait_for_selector("#stage[data-comparing]")
    yield "before and after"
    page.click("#flip .split")
    yield from lists(window, "more-scales")
    window.press_and_wait("#flip .use")
    yield "a history"
    page.locator("#offer").evaluate("(offer, html) => { offer.innerHTML = html; }", OFFER)
    yield "an offer"


@pytest.mark.parametrize(("size", "theme"), [((1280, 720), "dark"), ((390, 844), "light")])
def test_every_screen_is_accessible(
    chromium: Chromium, address: str, photo: Path, size: tuple[int, int], theme: str
) -> None:
    with Window.open(chromium, address, size) as window:
        page = window.page
        page.evaluate(AXE)
        if theme == "dark":
            page.click("#theme")
            page.wait_for_selector("body.dark", state="attached")
        assert not violations(window), "an empty window"
        window.choose_file("#open", photo)
        window.wait_for_canvas(1)
        states = chain(
            menus(window, size[0] <= SMALL), dialogs(window), forms(window), results(window)
        )
        for state in states:
            assert not violations(window), state


@pytest.mark.parametrize("size", [(1280, 720), (390, 844)])
def test_what_hangs_at_the_tools_does_so_under_a_note_too(
    chromium: Chromium, address: str, photo: Path, size: tuple[int, int]
) -> None:
    with Window.open(chromium, address, size) as window:
        page = window.page
        window.choose_file("#open", photo)
        window.wait_for_canvas(1)
        place = "name => document.querySelector(name).getBoundingClientRect().toJSON()"
        for _ in range(2):
            page.click("#show-examples")
            page.wait_for_selector("#examples")
            tools, examples = page.evaluate(place, "#tools"), page.evaluate(place, "#examples")
            assert examples["top"] - tools["bottom"] == pytest.approx(8, abs=1)
            page.keyboard.press("Escape")
            page.wait_for_selector("#examples", state="hidden")
            if size[0] <= SMALL:
                canvas = page.evaluate(place, "#easel")
                page.click("#more-mask")
                opened = page.evaluate(place, "#tools")
                assert opened["top"] == pytest.approx(tools["top"], abs=1)
                assert page.evaluate(place, "#easel") == canvas, "the canvas stays where it is"
                page.keyboard.press("Escape")
            page.locator("#offer").evaluate("(offer, html) => { offer.innerHTML = html; }", OFFER)
