"""Names and shapes of a state dict, read with care: each problem is a ``LayoutError`` saying what
was expected and what was found."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from engine.weights.metadata import LayoutError

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]


def dims(shapes: Shapes, name: str, rank: int) -> Shape:
    shape = shapes.get(name)
    if shape is None:
        raise LayoutError(f"expected a tensor '{name}', found none")
    if len(shape) != rank:
        raise LayoutError(f"expected '{name}' with {rank} dimensions, found {by(shape)}")
    return shape


def count(shapes: Shapes, pattern: str) -> int:
    """How many consecutive indices from 0 the names show at the group of ``pattern``; never 0."""
    matches = (re.match(pattern, name) for name in shapes)
    seen = {int(match.group(1)) for match in matches if match}
    if 0 not in seen:
        what = pattern.replace(r"(\d{1,4})", "0").replace("\\", "")
        raise LayoutError(f"expected tensors called '{what}...', found none")
    return next(i for i in range(len(seen) + 1) if i not in seen)


def by(shape: Shape) -> str:
    return " x ".join(map(str, shape)) or "a single number"


def either(numbers: Mapping[int, Any]) -> str:
    *first, last = sorted(numbers)
    return f"{', '.join(map(str, first))} or {last}"


def several(names: Sequence[str]) -> str:
    others = len(names) - 1
    more = f" and {others} other{'s' if others > 1 else ''}" if others else ""
    return f"{short(names[0])}{more}"


def short(name: str) -> str:
    """A name from an unknown file, fit for one line."""
    return repr(name if len(name) <= 60 else name[:57] + "...")
