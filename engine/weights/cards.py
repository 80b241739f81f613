"""A model's card: from its files alone, or from what was loaded of them."""

from __future__ import annotations

from pathlib import Path

from engine.plan.card import Card
from engine.plan.labels import Labels
from engine.weights.checkpoint import Loaded
from engine.weights.registry import ModelFiles


def card_of(files: ModelFiles, loaded: Loaded) -> Card:
    """The card of a model that was loaded."""
    spec = loaded.var.spec
    return Card(
        name=Path(files.name).name,
        side=loaded.vqvae.spec.side,
        scales=spec.scales,
        labels=Labels.of_model(loaded.labels, spec.num_classes, loaded.members, loaded.draws),
        recommended=loaded.defaults,
        foresight=spec.foresight,
        about=loaded.about or files.about,
        source=files.source,
    )
