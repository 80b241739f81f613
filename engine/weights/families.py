"""The families of models that can be loaded, a row each.

Sees no tensors: what reads weights is imported when weights are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, cast

from engine.model.flexvar.spec import FlexVAESpec, FlexVARSpec
from engine.model.hmar.spec import HMARSpec
from engine.model.spec import VARSpec, VQVAESpec
from engine.weights.metadata import Described, LayoutError

if TYPE_CHECKING:
    from engine.weights.layout import FamilyLayout

FAMILY_KEY = "family"  # in the metadata of a file of our own; those of VAR's family have none


@dataclass(frozen=True)
class Family:
    """The specs of a family's two networks, and the module that knows their files. ``name`` is for
    programs, ``title`` for people."""

    name: str
    title: str
    tokenizer: type
    transformer: type
    module: str

    @property
    def layout(self) -> FamilyLayout:
        return cast("FamilyLayout", import_module(self.module).FAMILY)


VAR = Family("var", "VAR", VQVAESpec, VARSpec, "engine.weights.var")
HMAR = Family("hmar", "HMAR", VQVAESpec, HMARSpec, "engine.weights.hmar")
FLEXVAR = Family("flexvar", "FlexVAR", FlexVAESpec, FlexVARSpec, "engine.weights.flexvar")
# Whose tell-tale names others have too comes later; of HMAR that is the tokenizer, which is VAR's.
FAMILIES = (FLEXVAR, HMAR, VAR)


def declared_family(source: Described) -> Family:
    """The family that a file's metadata names; VAR where it names none."""
    name = source.metadata.get(FAMILY_KEY, VAR.name)
    for family in FAMILIES:
        if family.name == name:
            return family
    known = ", ".join(family.name for family in FAMILIES)
    raise LayoutError(f"expected a family of {known} in its metadata, found {name!r:.60}")
