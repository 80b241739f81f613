"""Which network of which family a state dict belongs to, told by names and shapes."""

from __future__ import annotations

from collections.abc import Mapping

from engine.weights.families import FAMILIES, VAR, Family
from engine.weights.layout import Layout
from engine.weights.metadata import LayoutError
from engine.weights.shapes import Shapes, several, short


def layouts() -> Mapping[str, Layout]:
    """Every network's layout by its kind. Families may share a tokenizer."""
    found = [family.layout for family in FAMILIES]
    return {each.kind: each for own in found for each in (own.transformer, own.tokenizer)}


def kind_of(shapes: Shapes) -> str | None:
    """The kind of a network, such as "VAR", by its tell-tale names; None for anything else."""
    return next((kind for kind, each in layouts().items() if each.tells(shapes)), None)


def family_of(shapes: Shapes) -> Family:
    """The family whose transformer this is. Whatever is none is refused as not VAR's."""
    found = kind_of(shapes)
    known = {family.layout.transformer.kind: family for family in FAMILIES}
    if found not in known:
        require_kind(VAR.layout.transformer, shapes)
    return known[str(found)]


def require_kind(layout: Layout, shapes: Shapes) -> None:
    """Refuse a state dict of the partner, or of another network altogether."""
    kind, found = layout.kind, kind_of(shapes)
    if found == kind:
        empty = [name for name, shape in shapes.items() if 0 in shape]
        if empty:
            raise LayoutError(f"expected weights in {several(empty)}, found none")
        return
    if found is not None:
        raise LayoutError(f"expected a {kind}, found a {found}")
    if not shapes:
        raise LayoutError(f"expected the state dict of a {kind}, found no tensors")
    example = next(iter(shapes))
    raise LayoutError(
        f"expected the state dict of a {kind}, found another network's "
        f"({len(shapes)} tensors, such as {short(example)})"
    )
