"""What the registry's tests put into a weights folder and onto a hub."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch

from engine.model.spec import VARSpec, VQVAESpec
from engine.model.var.transformer import VAR
from engine.model.var.vqvae import VQVAE
from engine.weights.saving import save_model

REPOSITORY = "FoundationVision/var"
VQVAE_PTH = "vae_ch160v4096z32.pth"
CONTENT = bytes(range(256)) * 4096  # 1 MiB
SHA256 = hashlib.sha256(CONTENT).hexdigest()
SMALL = {"scales": (1, 2, 4), "codebook_size": 32, "latent_channels": 8}


def put(folder: Path, *names: str) -> None:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"x" * 10)


def save_small(folder: Path, about: str = "Small") -> None:
    torch.manual_seed(0)
    vqvae = VQVAE(VQVAESpec(**SMALL, width=16, multipliers=(1, 1)))
    var = VAR(VARSpec(**SMALL, depth=1, width=64, num_classes=2))
    save_model(
        folder, vqvae, var, labels=["hen", "owl"], about=about, extra={"licence": "CC0-1.0"}
    )


def one_line(error: pytest.ExceptionInfo[Exception]) -> str:
    line = str(error.value)
    assert "\n" not in line
    return line
