"""Random weights in the official format: what a test can load in place of the real checkpoints."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from engine.model.spec import VARSpec, VQVAESpec
from engine.model.var.transformer import VAR
from engine.model.var.vqvae import VQVAE
from engine.weights.var import ATTENTION_BIAS


def official_state(spec: VQVAESpec | VARSpec, *, seed: int = 0) -> dict[str, Tensor]:
    """A state dict as the authors' code saves it: fp32, all their buffers included."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = VQVAE(spec) if isinstance(spec, VQVAESpec) else VAR(spec)
    state = dict(network.state_dict())
    if isinstance(spec, VARSpec):
        level = state["lvl_1L"][0]
        hidden = level[:, None] < level
        bias = torch.zeros(hidden.shape).masked_fill(hidden, -torch.inf)
        state[ATTENTION_BIAS] = bias[None, None]
    return state


def random_official(spec: VQVAESpec | VARSpec, folder: Path, *, seed: int = 0) -> Path:
    """Write random weights of ``spec`` under the official file name; the path."""
    name = "vae_ch160v4096z32" if isinstance(spec, VQVAESpec) else f"var_d{spec.depth}"
    path = folder / f"{name}.pth"
    torch.save(official_state(spec, seed=seed), path)
    return path
