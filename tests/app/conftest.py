"""A server for the tests that speak HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.server import save_tiny_model, serving


@pytest.fixture(scope="package")
def tiny_model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="package")
def server(tiny_model_folder: Path) -> Iterator[str]:
    with serving(tiny_model_folder, tiny_model_folder.parent / "log.txt") as url:
        yield url
