"""The form's fields for the levers of an edit, one for each row of `engine.request.options.LEVERS`.

A field is known by its element's id: the lever's name with dashes. What it offers comes from the
lever's type, so a new row of the table is on the page by itself.
"""

from __future__ import annotations

import types
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from engine.request.options import LEVERS, EditOptions, Lever

AUTO = "auto"  # what a list shows for "the default of this task"
YES_NO = {"yes": "Yes", "no": "No"}
WORDS = {"around": {"auto": "Automatic", "keep": "As it was", "new": "Made anew"}}


@dataclass(frozen=True)
class Field:
    """A lever on the page.

    ``choices`` are what a list offers, none for a slider or a field to type in. ``automatic``: the
    request may leave it open, and the list has an entry that says so. ``typed``: a list that takes
    other values too.
    """

    name: str
    lever: Lever
    choices: tuple[str, ...]
    automatic: bool
    typed: bool

    @property
    def options(self) -> list[tuple[str, str]]:
        """(text, value) of each entry of a list; the first is the default."""
        words = WORDS.get(self.name, {})
        entries = [
            (choice if self.typed else words.get(choice) or _words(choice), choice)
            for choice in self.choices
        ]
        if self.automatic:
            return [("Automatic", AUTO), *entries]
        return sorted(entries, key=lambda entry: entry[1] != str(self.lever.default))

    @property
    def unset(self) -> Any:
        """What the field shows for None."""
        if self.lever.slider:
            return self.lever.default
        return AUTO if self.choices and self.automatic else ""

    @property
    def written(self) -> bool:
        """Whether it holds a text, which may be half written."""
        return not self.choices and not self.lever.slider


def _words(choice: str) -> str:
    return choice.replace("_", " ").capitalize()


def _kinds(annotation: Any) -> list[Any]:
    """The types that a union stands for."""
    if get_origin(annotation) is Annotated:
        return _kinds(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [kind for part in get_args(annotation) for kind in _kinds(part)]
    return [annotation]


def _field(name: str, lever: Lever) -> Field:
    kinds = _kinds(EditOptions.model_fields[name].annotation)
    words = [value for kind in kinds if get_origin(kind) is Literal for value in get_args(kind)]
    choices = lever.choices or tuple(words) or (tuple(YES_NO) if bool in kinds else ())
    typed = bool(lever.choices)
    return Field(name.replace("_", "-"), lever, choices, type(None) in kinds, typed)


FIELDS = {field.name: field for name, lever in LEVERS.items() if (field := _field(name, lever))}

# Those whose slider ends where the model's scales end.
BY_SCALES = tuple(f.name for f in FIELDS.values() if f.lever.slider and f.lever.slider[1] is None)


def of_group(*groups: str) -> list[Field]:
    """The fields of some groups, in the table's order."""
    return [field for field in FIELDS.values() if field.lever.group in groups]
