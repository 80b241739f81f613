"""Tiny networks, of each kind that a transformer comes in."""

from __future__ import annotations

import pytest

from engine.model.var.transformer import VAR
from engine.model.var.vqvae import VQVAE
from tests.tiny import tiny_var, tiny_vqvae


@pytest.fixture(scope="module")
def vqvae() -> VQVAE:
    return tiny_vqvae()


@pytest.fixture(scope="module", params=["separate", "shared", "plain attention", "foresight"])
def var(request: pytest.FixtureRequest) -> VAR:
    kind = request.param
    return tiny_var(
        shared=kind == "shared", l2=kind != "plain attention", foresight=kind == "foresight"
    )
