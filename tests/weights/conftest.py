"""The pairs, saved; a hub, and a folder for what it has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from engine.model.var.transformer import VAR
from engine.model.var.vqvae import VQVAE
from engine.weights.saving import save_model
from tests.hub import Hub, serve
from tests.official import random_official
from tests.weights.nets import LABELS, OWN_VAR, OWN_VQVAE, PLAIN_VAR, PLAIN_VQVAE
from tests.weights.shelf import CONTENT, VQVAE_PTH


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> tuple[Path, Path]:
    """A small pair in the official format: (VQVAE, transformer)."""
    folder = tmp_path_factory.mktemp("plain")
    return random_official(PLAIN_VQVAE, folder), random_official(PLAIN_VAR, folder)


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> Path:
    """A small pair in our own format."""
    folder = tmp_path_factory.mktemp("own")
    torch.manual_seed(1)
    save_model(folder, VQVAE(OWN_VQVAE), VAR(OWN_VAR), labels=LABELS, about="Ours, MIT")
    return folder


@pytest.fixture
def hub(monkeypatch) -> Iterator[Hub]:
    monkeypatch.setattr("engine.weights.download.time.sleep", lambda seconds: None)
    monkeypatch.setattr("engine.weights.download.CHUNK", 1 << 16)
    files = {VQVAE_PTH: CONTENT, "var_d16.pth": CONTENT[::-1]}
    with serve(Hub(files)) as running:
        yield running


@pytest.fixture
def weights(tmp_path) -> Path:
    folder = tmp_path / "weights"
    folder.mkdir()
    return folder
