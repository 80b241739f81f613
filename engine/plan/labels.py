"""Class names <-> ids of one model.

Names come from the model's file; the official checkpoints carry none and use ImageNet's. Several
of those repeat ("crane" is a bird and a machine), so a shown name that is not unique has its id
beside it: "crane (134)".
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from engine.errors import RequestError

_IMAGENET_FILE = Path(__file__).parent.parent.parent / "assets" / "imagenet_classes.json"


@cache
def imagenet_names() -> tuple[str, ...]:
    """The 1000 English names by id (anishathalye/imagenet-simple-labels)."""
    return tuple(json.loads(_IMAGENET_FILE.read_text(encoding="utf-8")))


class Labels:
    """The class names of a model, by id.

    A class may stand for several others, its ``members``: "bird" for "owl" and "duck". Each edit
    draws one of them; of a class that is in ``draws`` one of those there, which the model draws
    best.
    """

    def __init__(
        self,
        names: Sequence[str],
        members: Mapping[str, Sequence[str]] | None = None,
        draws: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.names = tuple(names)
        self.members = {name: tuple(some) for name, some in (members or {}).items()}
        ids = {name: index for index, name in enumerate(self.names)}
        self._drawn = {
            ids[name]: [ids[each] for each in (draws or {}).get(name, some)]
            for name, some in self.members.items()
        }
        self._things = {ids[each] for name, some in self.members.items() for each in (name, *some)}
        self._ids: dict[str, list[int]] = {}
        for index, name in enumerate(self.names):
            self._ids.setdefault(_folded(name), []).append(index)
        self._choices = _unique(self.names)
        self._shown = {_folded(choice): index for index, choice in enumerate(self._choices)}

    @classmethod
    def of_model(
        cls,
        names: Sequence[str],
        num_classes: int,
        members: Mapping[str, Sequence[str]] | None = None,
        draws: Mapping[str, Sequence[str]] | None = None,
    ) -> Labels:
        """The names in a model's file; ImageNet's if it has none but 1000 classes; else numbers."""
        if names:
            return cls(names, members, draws)
        imagenet = imagenet_names()
        if num_classes == len(imagenet):
            return cls(imagenet)
        return cls([f"class {index}" for index in range(num_classes)])

    def __eq__(self, other: object) -> bool:
        """Whether all classes have the same names, stand for the same and draw the same."""
        if not isinstance(other, Labels):
            return NotImplemented
        mine, theirs = (
            (each.names, each.members, each._drawn) for each in (self, other)
        )
        return mine == theirs

    def __hash__(self) -> int:
        return hash(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def choices(self) -> list[str]:
        """What to show for every class, in the order of their ids; no two are the same."""
        return list(self._choices)

    def display(self, index: int) -> str:
        """What to show for one class."""
        return self._choices[self._checked(index)]

    def drawn(self, index: int, seed: int) -> int:
        """The id that ``seed`` draws for a class: one of its members, itself if it has none.

        Seeds that follow one another draw different members until each had its turn.
        """
        members = self._drawn.get(index)
        if members is None:
            return index
        turn, place = divmod(seed, len(members))

        def rank(member: int) -> bytes:
            return hashlib.sha256(f"{index} {turn} {member}".encode()).digest()

        return sorted(members, key=rank)[place]

    def is_thing(self, index: int) -> bool:
        """Whether a class is one thing, such as "owl", or stands for several; scenery is neither.

        Models without ``members`` do not say.
        """
        return self._checked(index) in self._things

    def is_scenery(self, index: int) -> bool:
        """Whether a class is no thing, of a model that knows things."""
        return bool(self._things) and not self.is_thing(index)

    def find(self, label: int | str) -> int:
        """The id of a class given as id (207 or "207"), name, or "name (id)"; case is ignored."""
        if isinstance(label, int):
            return self._checked(label)
        text = _folded(label)
        if text in self._shown:
            return self._shown[text]
        found = self._ids.get(text, [])
        if found:
            options = " or ".join(repr(self._choices[index]) for index in found)
            raise RequestError(
                f"label: {label!r} is the name of {len(found)} classes; say {options}"
            )
        if text.isascii() and text.isdigit() and len(text) <= 6:
            return self._checked(int(text))
        raise RequestError(f"label: no class is called {label!r:.80}; {self._near(text)}")

    def _checked(self, index: int) -> int:
        if isinstance(index, bool) or not 0 <= index < len(self.names):
            raise RequestError(
                f"label: expected a class name or an id from 0 to {len(self.names) - 1}, "
                f"got {index!r}"
            )
        return index

    def _near(self, text: str) -> str:
        """The classes a mistyped name may have meant: starting with it, alike, or containing it."""
        starts = [name for name in self._ids if text and name.startswith(text)]
        alike = difflib.get_close_matches(text, self._ids, n=5, cutoff=0.6)
        inside = [name for name in self._ids if len(text) >= 3 and text in name]
        near = list(dict.fromkeys([*starts[:3], *alike, *inside]))[:5]
        shown = [repr(self._choices[index]) for name in near for index in self._ids[name]]
        if shown:
            return f"near ones: {', '.join(shown)}"
        few = ", ".join(repr(choice) for choice in self._choices[:5])
        return f"the model has {len(self.names)} classes, such as {few}"


def _unique(names: Sequence[str]) -> tuple[str, ...]:
    """The names, with the id beside those that others could be taken for."""
    shown = list(names)
    while True:
        taken = Counter(map(_folded, shown))
        repeated = [
            index
            for index, name in enumerate(names)
            if shown[index] == name and taken[_folded(name)] > 1
        ]
        if not repeated:
            return tuple(shown)
        for index in repeated:
            shown[index] = f"{names[index]} ({index})"


def _folded(name: str) -> str:
    return " ".join(name.casefold().split())
