"""Work outlives its server, however that ended, and its page."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engine.picture.files import open_image
from tests.app.server import ROOT, _wait, free_port
from tests.browser.chromium import Chromium
from tests.browser.window import Window

pytestmark = pytest.mark.browser


class Server:
    """One that is killed and started anew, on the same port."""

    def __init__(self, model: Path, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "log.txt"
        self.state = folder / "state"
        self._model = model
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *flags: str) -> None:
        command = [
            sys.executable, "app.py", "--port", str(self.port), "--no-browser", "--device", "cpu",
            "--model", str(self._model), *flags,
        ]  # fmt: skip
        environment = {**os.environ, "XDG_STATE_HOME": str(self.state)}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log,
                                             stderr=subprocess.STDOUT)  # fmt: skip
        _wait(self.url, self._process, self.log)

    def end(self, how: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(how)
        self._process.wait(30)


@pytest.fixture
def server(tiny_model_folder: Path, tmp_path: Path) -> Iterator[Server]:
    made = Server(tiny_model_folder, tmp_path)
    made.start()
    yield made
    made.end(signal.SIGTERM)


def painted_is_kept(window: Window) -> None:
    window.page.wait_for_function(
        "JSON.parse(sessionStorage['varpaint-mask'] ?? '{}').version === "
        "Number(document.querySelector('#facts').dataset.version)"
    )


def comes_back(window: Window, version: int) -> None:
    """Until the page has opened itself anew, with its picture."""
    window.wait_for_canvas(version)
    window.page.wait_for_function("document.querySelector('#model input')?.value === 'tiny'")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_after_a_restart_a_page_goes_on_by_itself_with_all_of_its_work(
    chromium: Chromium, server: Server, photo: Path, how: signal.Signals
) -> None:
    with Window.open(chromium, server.url) as window:
        window.open_picture(photo)
        window.fill("seed", "17")
        window.stroke((0.3, 0.3), (0.6, 0.5))
        window.run()
        window.press_and_wait("#use-result")
        before = window.download().read_bytes()
        results = window.wait_for_results(2)
        window.stroke((0.2, 0.7), (0.8, 0.7))
        painted_is_kept(window)
        mask, version = window.mask(), window.version

        window.page.wait_for_timeout(1500)  # as long as the mask's way into the browser's storage
        server.end(how)
        window.page.wait_for_selector("#away")
        server.start()
        comes_back(window, version + 1)
        assert np.array_equal(window.mask(), mask)
        assert window.wait_for_results(2) == results
        assert window.page.input_value("#seed input, #seed textarea") == "17"
        assert window.download().read_bytes() == before
        window.press_and_wait("#undo")
        window.press_and_wait("#redo")
        window.run()


def test_a_new_tab_offers_to_go_on_with_the_last_work(
    chromium: Chromium, server: Server, photo: Path
) -> None:
    with Window.open(chromium, server.url) as window:
        window.open_picture(photo)
        window.stroke((0.3, 0.3), (0.6, 0.5))
        painted_is_kept(window)
        window.page.wait_for_function(
            "JSON.parse(localStorage['varpaint-last'] ?? '{}').mask?.includes('png')"
        )
        mask = window.mask()
        with window.beside() as other:
            text = other.page.inner_text("#offer")
            assert "photo" in text and "Go on with it" in text
            other.page.click("#offer [data-do=go-on]")
            other.page.wait_for_selector("#canvas.filled[data-ready]")
            other.page.wait_for_selector("#offer", state="hidden")
            assert np.array_equal(other.mask(), mask)
        with window.beside() as third:
            third.page.click("#offer .close")
            third.page.wait_for_selector("#offer", state="hidden")


def test_a_page_whose_work_is_gone_says_so_and_offers_what_the_browser_has(
    chromium: Chromium, server: Server, photo: Path
) -> None:
    with Window.open(chromium, server.url) as window:
        window.open_picture(photo)
        window.stroke((0.3, 0.3), (0.6, 0.5))
        painted_is_kept(window)
        mask = window.mask()
        window.page.wait_for_timeout(2000)
        server.end(signal.SIGKILL)
        shutil.rmtree(server.state)
        server.start("--no-keep")
        window.page.wait_for_selector("#offer .lost [data-do=again]")
        assert "no longer has the work" in window.page.inner_text("#offer")
        window.page.click("#offer [data-do=again]")
        window.page.wait_for_selector("#canvas.filled[data-ready]")
        window.wait_for_stamp(None)
        assert np.array_equal(window.mask(), mask)
        image = open_image(window.download())
        assert image.size == open_image(photo).size
        assert not server.state.exists(), "nothing is kept with --no-keep"
