"""Strokes come back one by one where the canvas turns back to their picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.browser.test_work import painted_is_kept
from tests.browser.window import Window

pytestmark = pytest.mark.browser


def test_after_an_undone_use_the_strokes_can_be_undone_too(window: Window, photo: Path) -> None:
    page = window.page
    window.open_picture(photo)
    window.stroke((0.2, 0.3), (0.4, 0.3))
    painted_is_kept(window)
    first = window.mask()
    kept = page.evaluate("sessionStorage.getItem('varpaint-mask')")
    window.stroke((0.6, 0.7), (0.8, 0.7))
    page.wait_for_function("old => sessionStorage.getItem('varpaint-mask') !== old", arg=kept)
    both = window.mask()
    window.set_variations(1)
    window.run()
    window.press_and_wait("#flip .use")
    window.press_and_wait("#undo")
    page.wait_for_selector("#canvas button[aria-label=Undo]:not([disabled])", state="attached")

    def differs(one: np.ndarray, other: np.ndarray) -> float:
        return float((one ^ other).mean())

    assert differs(window.mask(), both) < 0.005
    page.click("#undo")
    assert differs(window.mask(), first) < 0.005, "the last stroke is gone, the first is there"
    page.click("#undo")
    page.wait_for_selector("#canvas button[aria-label=Undo][disabled]", state="attached")
    page.keyboard.press("Control+Shift+Z")
    page.keyboard.press("Control+Shift+Z")
    assert differs(window.mask(), both) < 0.005
