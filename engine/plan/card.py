"""What must be known of a model to plan an edit with it: no networks, no files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.plan.labels import Labels


@dataclass(frozen=True)
class Card:
    """A model as it is known before it is loaded.

    ``side`` is that of its square in pixels, ``scales`` its schedule, ``recommended`` the sampling
    that suits it, ``foresight`` whether it was trained to read the known area at every scale;
    ``source`` says where its files are from.
    """

    name: str
    side: int
    scales: tuple[int, ...]
    labels: Labels
    family: str = "var"
    recommended: Mapping[str, Any] = field(default_factory=dict)
    foresight: bool = False
    about: str = ""
    source: str = ""
    licence: str = ""
