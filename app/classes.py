"""The classes of a model as the window lists them: kinds first, then the things they stand for.

What is listed is a text and a value; the value is the plain name that goes into requests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from engine.errors import RequestError

NO_CLASS = "No class"

OTHER_NAMES: Mapping[str, tuple[str, ...]] = {  # what people call a class, by its own name
    "automobile": ("car",), "taxi": ("cab", "car"), "racing car": ("automobile",),
    "sports car": ("automobile",), "race car": ("automobile",), "convertible": ("car",),
    "minivan": ("car", "van"), "jeep": ("car",), "limousine": ("car",), "station wagon": ("car",),
    "taxicab": ("taxi", "car"), "locomotive": ("train",), "high-speed train": ("railway",),
    "tram": ("streetcar",), "delivery truck": ("lorry", "van"), "pickup truck": ("car",),
    "bicycle": ("bike",), "mountain bike": ("bicycle",), "motor scooter": ("motorbike",),
    "small airplane": ("plane", "aeroplane"), "airliner": ("plane", "aeroplane"),
    "sailboat": ("yacht",), "container ship": ("boat",), "television": ("TV",),
    "mobile phone": ("cell phone", "smartphone"), "couch": ("sofa", "settee"),
    "laptop": ("notebook computer",), "notebook computer": ("laptop",),
    "rabbit face": ("bunny", "hare"), "cottontail rabbit": ("bunny",), "dog face": ("puppy",),
    "cat face": ("kitten",), "tabby cat": ("kitten",), "cow face": ("cattle",), "ox": ("cow",),
    "lady beetle": ("ladybug", "ladybird"), "ladybug": ("ladybird",), "honeybee": ("bee",),
    "bouquet": ("flowers",), "evergreen tree": ("pine", "fir", "conifer"),
    "house": ("home",), "office building": ("skyscraper",), "hamburger": ("burger",),
    "french fries": ("chips",), "soft ice cream": ("cone",), "t-shirt": ("shirt",),
    "billed cap": ("hat",), "sunglasses": ("glasses", "shades"), "locked": ("padlock", "lock"),
    "eagle": ("hawk",), "spouting whale": ("whale",), "sauropod": ("dinosaur",),
    "t-rex": ("dinosaur",), "bridegroom": ("man", "person"), "scuba diver": ("man", "person"),
    "baseball player": ("man", "person"), "sea & beach": ("ocean", "coast", "shore"),
    "city": ("town", "street"), "forest": ("wood", "trees"),
}  # fmt: skip


class Named(Protocol):
    """What the window asks of a model's labels (engine/plan/labels.py)."""

    @property
    def names(self) -> Sequence[str]: ...
    @property
    def members(self) -> Mapping[str, Sequence[str]]: ...
    def choices(self) -> list[str]: ...
    def find(self, label: int | str) -> int: ...


def listed(labels: Named) -> list[tuple[str, str]]:
    """(text, value) of every class. A thing has its kind beside it, and what else it is called, so
    that a search for either finds it too: "taxi (land vehicle, cab, car)" for "taxi"."""
    kinds: dict[str, list[str]] = {}
    for kind, things in labels.members.items():
        for thing in things:
            kinds.setdefault(thing, []).append(kind)
    plain: list[tuple[str, str]] = []
    named: list[tuple[str, str]] = []
    for name, value in zip(labels.names, labels.choices(), strict=True):
        others = OTHER_NAMES.get(name.casefold(), ())
        if name in kinds and name not in labels.members:
            known = value.removesuffix(f" ({', '.join(kinds[name])})")
            named.append((f"{known} ({', '.join((*kinds[name], *others))})", value))
        else:
            plain.append((f"{value} ({', '.join(others)})" if others else value, value))
    return plain + sorted(named, key=lambda item: item[0].casefold())


def known(labels: Named, label: int | str | None) -> str:
    """The value in the list for a label as a request spells it; empty for none of this model."""
    if label is None or label == "":
        return ""
    try:
        return labels.choices()[labels.find(label)]
    except RequestError:
        return ""
