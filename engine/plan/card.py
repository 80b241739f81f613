"""What must be known of a model to plan an edit with it: no networks, no files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.errors import RequestError
from engine.plan.labels import Labels
from engine.request.options import EditOptions

# What a file may recommend under "defaults".
SAMPLING = {"guidance", "guidance_schedule", "top_k", "top_p", "temperature", "soft_scales"}


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
    family: str = ""
    recommended: Mapping[str, Any] = field(default_factory=dict)
    foresight: bool = False
    about: str = ""
    source: str = ""
    licence: str = ""


def is_sampling(value: Any) -> bool:
    """Whether a value is a model's own sampling defaults, such as {"top_k": 20}.

    They are used as they stand, so {"top_k": "20"} and {"top_k": null} are none.
    """
    if not isinstance(value, dict) or not set(value) <= SAMPLING:
        return False
    try:
        options = EditOptions(**value)
    except RequestError:
        return False

    def as_it_stands(given: Any, read: Any) -> bool:
        number = isinstance(read, float) and type(given) is int
        return given is not None and given == read and (number or type(given) is type(read))

    return all(as_it_stands(given, getattr(options, name)) for name, given in value.items())
