"""No violation of WCAG 2.2 AA that axe-core can find, on each screen of the window."""

from __future__ import annotations

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
NAMED = """() => !document.querySelector('.thumbnail-item[aria-label^="Thumbnail"]')
    && (!document.querySelector('#canvas .image-container')
        || document.querySelector('#canvas .image-container[role]'))"""  # names come by and by


def violations(window: Window) -> list[list[str]]:
    window.page.wait_for_function(NAMED)
    found: list[list[str]] = window.page.evaluate(FIND)
    return found


@pytest.mark.parametrize("size", [(1280, 720), (390, 844)])
def test_every_screen_is_accessible(
    chromium: Chromium, address: str, photo: Path, size: tuple[int, int]
) -> None:
    with Window.open(chromium, address, size) as window:
        page = window.page
        page.evaluate(AXE)
        assert not violations(window), "an empty window"
        window.choose_file("#open", photo)
        window.wait_for_canvas(1)
        for title in ("Outpaint", "Generate", "Edit class", "Inpaint"):
            window.task(title)
            assert not violations(window), title
        window.stroke((0.4, 0.4), (0.6, 0.6))
        window.run()
        page.wait_for_selector("#easel > img.seen")
        assert not violations(window), "a result"
        window.press_and_wait("#flip .use")
        assert not violations(window), "a history"
        page.click("#theme")
        page.wait_for_selector("body.dark", state="attached")
        assert not violations(window), "dark"
        page.keyboard.press("?")
        page.wait_for_selector("#hotkeys[open]")
        assert not violations(window), "hotkeys"
