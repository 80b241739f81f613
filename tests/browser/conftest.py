"""A real Chromium, a real server, and a hand that paints.

With ``VARPAINT_TEST_FLEET=1`` in the environment the server's runs go to a service on a cluster of
two cores: ``VARPAINT_TEST_FLEET=1 python -m pytest tests/browser/test_window.py``.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from engine.benchmark.in_browser import BROWSERS
from tests.app.server import save_tiny_model, serving
from tests.browser.chromium import Chromium
from tests.browser.window import Window
from tests.serving.fleet import cluster, service

FLAGS = (
    "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--disable-gpu-compositing", "--no-first-run",  # the page itself is drawn faster without
    "--process-per-site",  # see Chromium
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
SIZE = (360, 240)
DISC = (210, 60, 310, 160)
FLEET = "VARPAINT_TEST_FLEET"


@pytest.fixture(scope="package")
def tiny_model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="package")
def address(tiny_model_folder: Path) -> Iterator[str]:
    log = tiny_model_folder.parent / "log.txt"
    if not os.environ.get(FLEET):
        with serving(tiny_model_folder, log) as url:
            yield url
        return
    flags = ("--model", str(tiny_model_folder), "--device", "cpu", "--max", "1")
    with (
        cluster(2) as nodes,
        service(nodes.address, log.with_name("service.txt"), *flags),
        serving(None, log, "--fleet", nodes.address) as url,
    ):
        yield url


@pytest.fixture(scope="package")
def chromium() -> Iterator[Chromium]:
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, BROWSERS)))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield Chromium(browser)
        browser.close()


@pytest.fixture
def window(chromium: Chromium, address: str) -> Iterator[Window]:
    with Window.open(chromium, address) as window:
        yield window
        window.expect_no_errors()


@pytest.fixture(scope="package")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A JPEG such as a camera makes: a scene with noise, not a flat colour."""
    width, height = SIZE
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    scene = np.stack([90 + 80 * y / height, 140 + 60 * np.sin(x / 40), 200 - 90 * y / height], 2)
    image = Image.fromarray(np.clip(scene + rng.normal(0, 9, scene.shape), 0, 255).astype(np.uint8))
    path = tmp_path_factory.mktemp("photo") / "photo.jpg"
    image.filter(ImageFilter.GaussianBlur(0.6)).save(path, quality=93)
    return path


@pytest.fixture
def thing(tmp_path: Path) -> Path:
    """A photo-like picture with a red disc."""
    width, height = SIZE
    rng = np.random.default_rng(3)
    ground = np.clip(rng.normal((70, 120, 150), 6, (height, width, 3)), 0, 255).astype(np.uint8)
    image = Image.fromarray(ground)
    ImageDraw.Draw(image).ellipse(DISC, fill=(215, 60, 40))
    image.save(tmp_path / "thing.png")
    return tmp_path / "thing.png"
