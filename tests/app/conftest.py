"""A server for the tests that speak HTTP; callbacks with tiny networks, and a photo for them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.backend import Local
from app.handlers import Handlers
from tests.app.layers import layer
from tests.app.server import save_tiny_model, serving
from tests.pictures import noisy_rgb
from tests.tiny import tiny_editor


@pytest.fixture(scope="session")
def tiny_model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def server(tiny_model_folder: Path) -> Iterator[str]:
    with serving(tiny_model_folder, tiny_model_folder.parent / "log.txt") as url:
        yield url


@pytest.fixture
def handlers() -> Handlers:
    models = Local()
    models.add(tiny_editor(), first=True)
    return Handlers(models)


@pytest.fixture
def photo(tmp_path: Path) -> str:
    noisy_rgb(60, 40).save(tmp_path / "photo.jpg")
    return str(tmp_path / "photo.jpg")


@pytest.fixture
def painted() -> str:
    """A box of it, as a page sends what is painted."""
    return layer((20, 10, 40, 30))
