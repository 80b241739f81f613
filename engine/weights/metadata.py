"""What a file of our own format says about its model, read with care.

Sees no tensors, so that a model's card is read in milliseconds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Protocol

from engine.errors import CheckpointError
from engine.model.spec import Scales, TokenizerSpec, TransformerSpec
from engine.plan.card import is_sampling

Spec = TokenizerSpec | TransformerSpec

FORMAT = "varpaint"
VERSION = 1
DRAWS_FILE = "draws.json"  # beside it: of which members a class draws, if not of all


class LayoutError(ValueError):
    """A file that is not the network it should be: expected this, found that."""


class Described(Protocol):
    """A file that may say something of itself."""

    @property
    def metadata(self) -> Mapping[str, str]: ...


def parsed(source: Described, key: str, kind: Callable[[Any], bool]) -> Any:
    """The JSON value under ``key`` in a file's metadata, or None if there is none."""
    if source.metadata.get("format") != FORMAT or key not in source.metadata:
        return None
    try:
        value = json.loads(source.metadata[key])
    except (ValueError, RecursionError):
        value = None
    if not kind(value):
        raise LayoutError(
            f"expected {key} as JSON in its metadata, found {source.metadata[key]!r:.60}"
        )
    return value


def declared_scales(source: Described) -> Scales | None:
    spec = parsed(source, "spec", lambda value: isinstance(value, dict))
    if spec is None:
        return None
    scales = spec.get("scales")
    plausible = (
        isinstance(scales, list)
        and 0 < len(scales) <= 100
        and all(type(side) is int and 0 < side <= 1024 for side in scales)
    )
    if not plausible:
        raise LayoutError(f"expected a list of scales in its metadata, found {scales!r:.60}")
    return tuple(scales)


def require_declared(source: Described, spec: Spec) -> None:
    """Refuse metadata that tells another story than the tensors do."""
    declared = parsed(source, "spec", lambda value: isinstance(value, dict))
    if declared is None:
        return
    own: Any = spec  # a dataclass
    usual = {each.name: each.default for each in fields(own)}  # files older than a field
    for key, found in json.loads(json.dumps(asdict(own))).items():
        if declared.get(key, usual[key]) != found:
            raise LayoutError(
                f"expected {key} {declared.get(key)!r:.60} as its metadata says, found {found!r}"
            )


def sampling_of(source: Described) -> dict[str, Any]:
    """The sampling that suits the model; empty where the file recommends none."""
    return dict(parsed(source, "defaults", is_sampling) or {})


def labels_of(source: Described, spec: TransformerSpec) -> tuple[str, ...]:
    names = parsed(
        source,
        "labels",
        lambda value: isinstance(value, list) and all(isinstance(each, str) for each in value),
    )
    if names is not None and len(names) != spec.num_classes:
        raise LayoutError(f"expected {spec.num_classes} class names, found {len(names)}")
    return tuple(names or ())


def members_of(source: Described, labels: tuple[str, ...]) -> dict[str, list[str]]:
    """Which classes stand for which others."""
    known = set(labels)

    def is_members(value: Any) -> bool:
        return isinstance(value, dict) and all(
            isinstance(some, list) and some and known.issuperset([name, *map(str, some)])
            for name, some in value.items()
        )

    return dict(parsed(source, "members", is_members) or {})


def draws_of(path: Path, members: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Which of their members classes draw, from the file beside a model's; empty without one."""
    if not members or not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(
        isinstance(some, list) and some and set(members.get(name, ())).issuperset(map(str, some))
        for name, some in found.items()
    ):
        raise CheckpointError(
            f"{path}: expected JSON of classes and those of their members that they draw, such as "
            '{"bird": ["owl"]}; correct it or take it away'
        )
    return found
