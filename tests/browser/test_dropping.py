"""Files that are dropped on the window, or pasted into it."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.browser.marks import box
from tests.browser.window import Window

pytestmark = pytest.mark.browser

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
