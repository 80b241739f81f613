"""An edit's time as a person has it: the window in a real Chromium, from click to sight; and what
the window takes at rest.

The server is ``app.py`` in a process of its own, as ``make run`` starts it; the same edits are then
carried out from Python, without a window, once that server has gone.
"""

from __future__ import annotations

import json
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from engine import EditOptions, RequestError, load_editor
from engine.benchmark import at_rest

FOLDER = Path(__file__).resolve().parents[2]
PHOTO = FOLDER / "assets" / "examples" / "canyon.jpg"
SIZE = (4000, 3000)  # 12 megapixels
HOLE = (1800, 1500, 2100, 1800)  # left, top, right, bottom
BROWSERS = (  # the first has no desktop's part: it draws the same pages with a tenth less work
    "chromium-headless-shell", "chromium", "chromium-browser", "google-chrome",
)  # fmt: skip
FLAGS = ("--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
         "--disable-gpu-compositing", "--no-first-run")  # fmt: skip
SCREEN = {"width": 1280, "height": 720}
REPEATS = 5
PATIENCE = 60  # seconds
SETTLES = 3  # seconds until a window is at rest
RESTS = 15  # seconds
MISSING = (
    "--window drives a browser: python -m pip install playwright, and install Chromium "
    "(apt-get install chromium)"
)

SHOWN = '#canvas[data-ready="{0}"]'
SIGHT = """() => {
    const coming = document.querySelector("#easel > img.coming");
    return coming?.naturalWidth > 0 || document.querySelector('#canvas[data-ready="1"]');
}"""
FINISHED = """() => document.querySelectorAll("#results .thumbnail-item").length === 1
    && document.querySelector("#status .line:not([data-old])")?.innerText.includes("Done")"""
PLACES = """(corners) => corners.map(([x, y]) => {
    const e = window.editor;
    const box = document.querySelector("#canvas .pixi-target canvas").getBoundingClientRect();
    return [box.left + e.image_container.position.x + x * e.width * e.scale_value,
            box.top + e.image_container.position.y + y * e.height * e.scale_value];
})"""


def bench_window(device: str, *, as_json: bool) -> None:
    """Measure, and print a line a step, or one JSON object."""
    with tempfile.TemporaryDirectory() as folder:
        photo = Path(folder) / "photo.jpg"
        with Image.open(PHOTO, formats=["JPEG"]) as picture:
            picture.resize(SIZE, Image.Resampling.LANCZOS).save(photo, quality=92)
        with _browser() as browser, _server(device) as address:
            seconds = _as_a_person(browser, address, photo)
            resting = _at_rest(browser, address, photo)
        seconds["the same edit from Python"] = _alone(device, photo)
    middle = {step: statistics.median(taken) for step, taken in seconds.items()}
    if as_json:
        print(json.dumps({"median_seconds": middle, "seconds": seconds, "at_rest": resting}))
        return
    width, height = HOLE[2] - HOLE[0], HOLE[3] - HOLE[1]
    print(
        f"the bundled model, a JPEG of {SIZE[0]} x {SIZE[1]}, a mask of {width} x {height}, one "
        f"variation, screen {SCREEN['width']} x {SCREEN['height']}; seconds, the median of "
        f"{REPEATS} after one to warm up, and their range"
    )
    for step, taken in seconds.items():
        print(f"{step:29} {middle[step]:6.2f}   ({min(taken):.2f} to {max(taken):.2f})")
    for part, share in resting.items():
        print(f"{f'at rest, {part}':29} {share:6.3f}   of a core")


def _as_a_person(browser: Any, address: str, photo: Path) -> dict[str, list[float]]:
    """Seconds of each step, of each of the repeats but the first."""
    seconds: dict[str, list[float]] = {}
    for turn in range(REPEATS + 1):
        with _page(browser, address) as page:
            for step, taken in _steps(page, photo):
                if turn:
                    seconds.setdefault(step, []).append(taken)
    return seconds


def _at_rest(browser: Any, address: str, photo: Path) -> dict[str, float]:
    """Shares of a core that the window takes with a photo on its canvas and nobody at it."""
    with _page(browser, address) as page:
        _chooser(page).set_files(photo)
        page.wait_for_selector(SHOWN.format(1))
        time.sleep(SETTLES)
        return at_rest.shares(RESTS)


@contextmanager
def _page(browser: Any, address: str) -> Iterator[Any]:
    """The window with its model loaded, in a browser that knows nothing of it yet."""
    context = browser.new_context(viewport=SCREEN, reduced_motion="reduce")
    context.set_default_timeout(PATIENCE * 1000)
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector(SHOWN.format(0))
    page.wait_for_function("document.querySelector('#model input')?.value")
    yield page
    context.close()


def _chooser(page: Any) -> Any:
    """The file chooser that the canvas opens."""
    with page.expect_file_chooser() as chooser:
        page.click("[aria-label*='Click to upload or drop files']")
    return chooser.value


def _steps(page: Any, photo: Path) -> Iterator[tuple[str, float]]:
    """What a person does with a photo, and how long each step takes until its end is seen."""
    chooser = _chooser(page)
    began = time.perf_counter()
    yield (
        "open, to the first sight",
        _timed(lambda: chooser.set_files(photo), lambda: page.wait_for_function(SIGHT)),
    )
    page.wait_for_selector(SHOWN.format(1))
    yield "open, until it can be painted", time.perf_counter() - began
    page.click("#rail [data-tool=rectangle]")
    corners = [[x / SIZE[0], y / SIZE[1]] for x, y in (HOLE[:2], HOLE[2:])]
    begin, end = page.evaluate(PLACES, corners)
    page.mouse.move(*begin)
    page.mouse.down()
    page.mouse.move(*end, steps=6)
    page.mouse.up()
    page.fill("#variations input[type=number]", "1")
    page.keyboard.press("Tab")
    page.wait_for_selector("#run:not([disabled])")
    page.evaluate("document.querySelector('#status .line').dataset.old = ''")
    page.hover("#run")
    yield (
        "Run, to the result",
        _timed(partial(_press, page), partial(page.wait_for_function, FINISHED)),
    )
    for step, selector, version in (("Use this", "#use-result", 2), ("Undo", "#undo", 3)):
        page.hover(selector)
        yield (
            step,
            _timed(partial(_press, page), partial(page.wait_for_selector, SHOWN.format(version))),
        )


def _press(page: Any) -> None:
    """The mouse button, where the hand lies already: a script that looks for what it is to click
    takes longer over that than a person who has found it."""
    page.mouse.down()
    page.mouse.up()


def _timed(act: Callable[[], object], seen: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    seen()
    return time.perf_counter() - began


def _alone(device: str, photo: Path) -> list[float]:
    """Seconds of the same edits without a window, a seed each as there."""
    editor = load_editor("bundled", device=device)
    mask = Image.new("L", SIZE)
    mask.paste(255, HOLE)
    taken = []
    for seed in range(REPEATS + 1):
        with Image.open(photo, formats=["JPEG"]) as picture:
            picture.load()
            began = time.perf_counter()
            editor.inpaint(picture, mask, options=EditOptions(seed=seed))
            taken.append(time.perf_counter() - began)
    return taken[1:]


@contextmanager
def _browser() -> Iterator[Any]:
    """A headless Chromium; RequestError where there is none."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise RequestError(MISSING) from None
    if path is None:
        raise RequestError(MISSING)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


@contextmanager
def _server(device: str) -> Iterator[str]:
    """The window's address; it ends with the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "app.py", "--port", str(port), "--no-browser", "--device", device]
    process = subprocess.Popen(
        command, cwd=FOLDER, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait(address, process)
        yield address
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _wait(address: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise RequestError("the window did not start; see what `python app.py` says")
