"""A folder of small pictures, some masks, and a tiny model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.app.server import save_tiny_model
from tests.pictures import noisy_rgb


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_tiny_model(tmp_path_factory.mktemp("model")))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three photos; "one" and "two" have masks beside them, "sub/three" has none."""
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    for number, name in enumerate(("one.png", "two.jpg", "sub/three.png"), 1):
        noisy_rgb(40 + number, 30).save(folder / name)
    for number, name in enumerate(("one.mask.png", "two.mask.png"), 1):
        save_mask(folder / name, (30, 40 + number))
    return folder


def save_mask(path: Path, shape: tuple[int, int], left: int = 10) -> None:
    mask = np.zeros(shape, np.uint8)
    mask[8:20, left : left + 12] = 255
    Image.fromarray(mask).save(path)
