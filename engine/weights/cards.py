"""A model's card: from its files alone, or from what was loaded of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from engine.errors import CheckpointError
from engine.model.spec import VARSpec, VQVAESpec
from engine.plan.card import Card
from engine.plan.labels import Labels
from engine.weights.metadata import (
    DRAWS_FILE,
    LayoutError,
    declared_scales,
    draws_of,
    labels_of,
    members_of,
    parsed,
    sampling_of,
)
from engine.weights.registry import ModelFiles, metadata_of, official_depth

if TYPE_CHECKING:
    from engine.weights.checkpoint import Loaded

Shape = TypeVar("Shape", VARSpec, VQVAESpec)


@dataclass(frozen=True)
class _Said:
    """What a file says of itself, its tensors unread."""

    path: Path
    metadata: Mapping[str, str]

    @classmethod
    def by(cls, path: Path) -> _Said:
        return cls(path, metadata_of(path))


def read_card(files: ModelFiles) -> Card:
    """The card of a model that is on disk: that of the editor which `load_editor` makes of it.

    Files of our own say what they are, and of an official name it is known: no network library is
    loaded for these, and it takes milliseconds. Of other files names and shapes are read. What a
    file says is not compared with its weights before it is loaded. Raises CheckpointError.
    """
    own, partner = _Said.by(files.var), _Said.by(files.vqvae)
    depth = official_depth(files.name)
    with _naming(own.path):
        var = VARSpec.official(depth) if depth else _declared(own, VARSpec)
        spec = var or _inspected(own, VARSpec)
        labels = labels_of(own, spec)
        members, recommended = members_of(own, labels), sampling_of(own)
    with _naming(partner.path):
        vqvae = VQVAESpec.official(spec.scales) if depth else _declared(partner, VQVAESpec)
        codec = vqvae or _inspected(partner, VQVAESpec)
    draws = draws_of(files.var.with_name(DRAWS_FILE), members)
    return Card(
        name=Path(files.name).name,
        side=codec.stride * spec.scales[-1],
        scales=spec.scales,
        labels=Labels.of_model(labels, spec.num_classes, members, draws),
        recommended=recommended,
        foresight=spec.foresight,
        about=own.metadata.get("about", "") or files.about,
        source=files.source,
    )


def card_of(files: ModelFiles, loaded: Loaded) -> Card:
    """The card of a model that was loaded."""
    spec = loaded.var.spec
    return Card(
        name=Path(files.name).name,
        side=loaded.vqvae.spec.side,
        scales=spec.scales,
        labels=Labels.of_model(loaded.labels, spec.num_classes, loaded.members, loaded.draws),
        recommended=loaded.defaults,
        foresight=spec.foresight,
        about=loaded.about or files.about,
        source=files.source,
    )


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except LayoutError as error:
        raise CheckpointError(f"{path}: {error}") from None


def _declared(said: _Said, kind: type[Shape]) -> Shape | None:
    """The spec in a file's metadata; None where it has none, or one that is not of today."""
    found = parsed(said, "spec", lambda value: isinstance(value, dict))
    if found is None or declared_scales(said) is None:
        return None
    lists = {name: tuple(each) for name, each in found.items() if isinstance(each, list)}
    try:
        return kind(**{**found, **lists})
    except TypeError:  # what it is then, and what is wrong with it, the tensors tell
        return None


def _inspected(said: _Said, kind: type[Shape]) -> Shape:
    from engine.weights.checkpoint import inspect

    spec = inspect(said.path, "VAR" if kind is VARSpec else "VQVAE").spec
    assert isinstance(spec, kind)
    return spec
