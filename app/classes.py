"""The classes of a model as the window lists them: kinds first, then the things they stand for.

What is listed is a text and a value; the value is the plain name that goes into requests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from engine.errors import RequestError

NO_CLASS = "No class: follow the surroundings"
CHOOSE = "Choose a class …"


class Named(Protocol):
    """What the window asks of a model's labels (engine/plan/labels.py)."""

    @property
    def names(self) -> Sequence[str]: ...
    @property
    def members(self) -> Mapping[str, Sequence[str]]: ...
    def choices(self) -> list[str]: ...
    def find(self, label: int | str) -> int: ...


def listed(labels: Named) -> list[tuple[str, str]]:
    """(text, value) of every class. A thing has its kind beside it, so that a search for the kind
    finds it too: "owl (bird)" for "owl"."""
    kinds: dict[str, list[str]] = {}
    for kind, things in labels.members.items():
        for thing in things:
            kinds.setdefault(thing, []).append(kind)
    plain: list[tuple[str, str]] = []
    named: list[tuple[str, str]] = []
    for name, value in zip(labels.names, labels.choices(), strict=True):
        if name in kinds and name not in labels.members:
            beside = f" ({', '.join(kinds[name])})"
            named.append((value.removesuffix(beside) + beside, value))
        else:
            plain.append((value, value))
    return plain + sorted(named, key=lambda item: item[0].casefold())


def known(labels: Named, label: int | str | None) -> str:
    """The value in the list for a label as a request spells it; empty for none of this model."""
    if label is None or label == "":
        return ""
    try:
        return labels.choices()[labels.find(label)]
    except RequestError:
        return ""
