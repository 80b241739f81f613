"""Two small pairs of networks for tests of weights files, and the line of a refusal."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from engine.errors import CheckpointError
from engine.model.spec import SCALES_DOUBLING, VARSpec, VQVAESpec
from engine.weights.checkpoint import load_var, load_vqvae

# Small nets of the official kind (the doubling schedule is known by its length), and ones with
# everything that the official ones do not have.
PLAIN_VQVAE = VQVAESpec(
    scales=SCALES_DOUBLING, codebook_size=32, latent_channels=8, width=32, multipliers=(1, 2)
)
PLAIN_VAR = VARSpec(
    depth=2, width=64, scales=SCALES_DOUBLING, num_classes=5, codebook_size=32, latent_channels=8
)
OWN_VQVAE = VQVAESpec(
    scales=(1, 2, 4, 7),
    codebook_size=64,
    latent_channels=8,
    width=16,
    multipliers=(1, 3),
    blocks_per_level=1,
    phis=2,
    stem=4,
    linear_skip=True,
)
OWN_VAR = VARSpec(
    depth=2,
    width=128,
    scales=(1, 2, 4, 7),
    num_classes=3,
    codebook_size=64,
    latent_channels=8,
    mlp_ratio=2,
    shared_adaln=True,
    l2_norm=False,
)
LABELS = ["hen", "école", "hen"]


def refused(path: Path, kind: str = "VAR") -> str:
    """The one line with which a file is refused."""
    with pytest.raises(CheckpointError) as caught:
        (load_var if kind == "VAR" else load_vqvae)(path)
    line = str(caught.value)
    assert "\n" not in line
    assert str(path) in line
    assert "expected" in line
    assert "found" in line
    return line


def same(network: torch.nn.Module, state: dict[str, torch.Tensor]) -> bool:
    mine = network.state_dict()
    return all(torch.equal(mine[name], state[name].to(mine[name].dtype)) for name in mine)
