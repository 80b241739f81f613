"""Tiny networks with fixed, non-trivial weights: everything runs, in milliseconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from engine.editor import Editor
from engine.model.spec import VARSpec, VQVAESpec
from engine.model.var.pair import VARPair
from engine.model.var.transformer import VAR
from engine.model.var.vqvae import VQVAE
from engine.plan.card import Card
from engine.plan.labels import Labels
from tests.parity import reproducible_weights

SCALES = (1, 2, 4)
LABELS = ["bird", "boat", "hills", "crane", "crane"]


def tiny_vqvae(*, scales: tuple[int, ...] = SCALES, codebook: int = 64) -> VQVAE:
    """Stride 8; 32 px with the default scales. Uses the stem and the linear skip."""
    spec = VQVAESpec(
        scales=scales, codebook_size=codebook, latent_channels=8, width=16,
        multipliers=(1, 2), blocks_per_level=1, stem=4, linear_skip=True,
    )  # fmt: skip
    net = VQVAE(spec)
    reproducible_weights(net)
    return net.eval().requires_grad_(False)


def tiny_var(
    *,
    scales: tuple[int, ...] = SCALES,
    codebook: int = 64,
    shared: bool = False,
    l2: bool = True,
    foresight: bool = False,
) -> VAR:
    spec = VARSpec(
        depth=2, width=128, scales=scales, num_classes=len(LABELS), codebook_size=codebook,
        latent_channels=8, shared_adaln=shared, l2_norm=l2, foresight=foresight,
    )  # fmt: skip
    net = VAR(spec)
    reproducible_weights(net)
    return net.eval().requires_grad_(False)


def tiny_editor(
    members: Mapping[str, Sequence[str]] | None = None, *, foresight: bool = False
) -> Editor:
    torch.manual_seed(0)
    return editor_of(tiny_vqvae(), tiny_var(foresight=foresight), Labels(LABELS, members))


def editor_of(vqvae: VQVAE, var: VAR, labels: Labels, *, name: str = "tiny", **more) -> Editor:
    """An editor of networks that were made here; ``more`` goes onto its card."""
    card = Card(
        name=name, side=vqvae.spec.side, scales=vqvae.spec.scales, labels=labels,
        foresight=var.spec.foresight, **more,
    )  # fmt: skip
    return Editor(VARPair(vqvae, var), card)
