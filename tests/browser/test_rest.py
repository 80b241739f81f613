"""A page that nobody touches leaves the processor alone, and nothing is drawn that nobody sees."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.window import Window

pytestmark = pytest.mark.browser

COUNT = """() => {
  const ask = window.requestAnimationFrame;
  window.frames_ = 0;
  window.requestAnimationFrame = (act) => { window.frames_++; return ask(act); };
}"""
ASKED = """() => new Promise((done) => { // in a second, as soon as it is a quiet one
  let before = window.frames_, left = 20;
  const look = () => {
    const asked = window.frames_ - before;
    before = window.frames_;
    if (asked < 5 || !left--) done(asked);
    else setTimeout(look, 1000);
  };
  setTimeout(look, 1000);
})"""
CHANGED = """() => new Promise((done) => {
  const all = { attributes: true, characterData: true, childList: true, subtree: true };
  const changed = [];
  const watch = new MutationObserver((seen) => changed.push(...seen.map((one) => (
    `${one.type} ${one.attributeName ?? ""} of ${one.target.id || one.target.nodeName}`))));
  watch.observe(document, all);
  setTimeout(() => done(watch.disconnect() ?? changed), 1000);
})"""


def test_a_page_at_rest_asks_for_no_frame(window: Window, photo: Path) -> None:
    window.page.add_init_script(f"({COUNT})()")
    window.open_picture(photo)
    window.reload()
    window.wait_for_rest()
    assert window.page.evaluate("window.frames_") > 0
    assert window.page.evaluate(ASKED) < 5
    assert window.page.evaluate(CHANGED) == []


def test_the_editors_own_cropping_is_not_drawn(window: Window, photo: Path) -> None:
    window.open_picture(photo)
    window.wait_for_rest()
    width = window.page.locator("#canvas .pixi-target-crop canvas").evaluate("it => it.width")
    assert width <= 1
