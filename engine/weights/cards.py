"""A model's card: from its files alone, or from what was loaded of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import CheckpointError
from engine.model.spec import TokenizerSpec, TransformerSpec
from engine.plan.card import Card
from engine.plan.labels import Labels
from engine.weights.families import Family, declared_family
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
from engine.weights.places import ModelFiles, PairFiles, metadata_of
from engine.weights.published import BY_NAME, BY_STEM, Published

if TYPE_CHECKING:
    from engine.weights.checkpoint import Loaded

@dataclass(frozen=True)
class _Said:
    """What a file says of itself, its tensors unread."""

    path: Path
    metadata: Mapping[str, str]

    @classmethod
    def by(cls, path: Path) -> _Said:
        return cls(path, metadata_of(path))


def read_card(files: ModelFiles | PairFiles) -> Card:
    """The card of a model that is on disk: that of the editor which `load_editor` makes of it.

    Files of our own say what they are, and of an official name it is known: no network library is
    loaded for these, and it takes milliseconds. Of other files names and shapes are read. What a
    file says is not compared with its weights before it is loaded. Raises CheckpointError.
    """
    if isinstance(files, PairFiles):
        return _paired(files, *map(read_card, files.parts))
    own, partner = _Said.by(files.var), _Said.by(files.vqvae)
    known = BY_NAME.get(files.name)
    with _naming(own.path):
        family = known.family if known else declared_family(own)
        var: Any = known.spec if known else _declared(own, family.transformer)
        if var is None:
            family, var = _inspected(own.path)
        spec: TransformerSpec = var
        labels = labels_of(own, spec)
        members = members_of(own, labels)
        recommended = sampling_of(own)
    with _naming(partner.path):
        vqvae: Any = known.tokenizer_spec if known else _declared(partner, family.tokenizer)
        if vqvae is None:
            vqvae = _inspected_tokenizer(partner.path, family)
        codec: TokenizerSpec = replace(vqvae, scales=spec.scales)
    draws = draws_of(files.var.with_name(DRAWS_FILE), members)
    return Card(
        name=Path(files.name).name,
        side=codec.side,
        scales=spec.scales,
        labels=Labels.of_model(labels, spec.num_classes, members, draws),
        family=family.name,
        recommended=recommended or _recommended(files),
        foresight=spec.foresight,
        about=own.metadata.get("about", "") or files.about,
        source=files.source,
        licence=_licence(files),
        schedules=spec.schedules,
        practised=spec.practised,
    )


def card_of(files: ModelFiles | PairFiles, loaded: Loaded) -> Card:
    """The card of a model that was loaded."""
    if isinstance(files, PairFiles):
        assert loaded.second is not None
        return _paired(files, card_of(files.first, loaded), card_of(files.second, loaded.second))
    spec = loaded.spec
    return Card(
        name=Path(files.name).name,
        side=loaded.model.codec.side,
        scales=loaded.model.scheme.scales,
        labels=Labels.of_model(loaded.labels, spec.num_classes, loaded.members, loaded.draws),
        family=loaded.family.name,
        recommended=loaded.defaults or _recommended(files),
        foresight=spec.foresight,
        about=loaded.about or files.about,
        source=files.source,
        licence=_licence(files),
        schedules=spec.schedules,
        practised=spec.practised,
    )


def _paired(files: PairFiles, first: Card, second: Card) -> Card:
    """Of two models in turn: the first one's, but for what both have to be able to."""
    return replace(
        first,
        name=Path(files.name).name,
        foresight=first.foresight and second.foresight,
        about=files.about,
        source=files.source,
        schedules=(),
    )


def _published(files: ModelFiles) -> Published | None:
    return BY_NAME.get(files.name) or BY_STEM.get(files.var.stem)


def _recommended(files: ModelFiles) -> Mapping[str, Any]:
    """The sampling that the authors of a published file draw with."""
    known = _published(files)
    return known.recommended if known else {}


def _licence(files: ModelFiles) -> str:
    known = _published(files)
    return known.licence if known else metadata_of(files.var).get("licence", "")


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except LayoutError as error:
        raise CheckpointError(f"{path}: {error}") from None


def _declared(said: _Said, kind: type) -> Any:
    """The spec in a file's metadata; None where it has none, or one that is not of today."""
    found = parsed(said, "spec", lambda value: isinstance(value, dict))
    if found is None or declared_scales(said) is None:
        return None
    lists = {name: tuple(each) for name, each in found.items() if isinstance(each, list)}
    try:
        return kind(**{**found, **lists})
    except TypeError:  # what it is then, and what is wrong with it, the tensors tell
        return None


def _inspected(path: Path) -> tuple[Family, TransformerSpec]:
    """What a transformer's file is, by its names and shapes."""
    from engine.weights.checkpoint import inspect

    found = inspect(path)
    assert found.family is not None
    return found.family, found.spec


def _inspected_tokenizer(path: Path, family: Family) -> Any:
    from engine.weights.checkpoint import inspect

    return inspect(path, family.layout.tokenizer.kind).spec
