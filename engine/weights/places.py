"""A model's files in a folder: under their published names, whoever put them there, or our own."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from engine.errors import ModelNotFoundError
from engine.weights.published import BY_STEM, OFFICIAL, TOKENIZERS, Drafted, Published

HOME = Path(__file__).resolve().parent.parent.parent / "weights"  # what comes with the code
WEIGHTS = Path(os.environ.get("VARPAINT_WEIGHTS") or HOME)  # where downloads go, and are found
ENDINGS = (".pth", ".safetensors")
OWN_VQVAE, OWN_VAR = "vqvae.safetensors", "var.safetensors"
HALVES = tuple(  # stems of files that are good in a pair only, as its first and as its second
    tuple(model.stems[place] for model in OFFICIAL if isinstance(model, Drafted))
    for place in (1, 2)
)


@dataclass(frozen=True)
class ModelFiles:
    """A model found on disk."""

    name: str
    vqvae: Path
    var: Path
    about: str
    source: str
    licence: str = ""


@dataclass(frozen=True)
class PairFiles:
    """Two models found on disk: the first draws the scales before ``switch``, the second the others
    (`engine.model.relay`)."""

    name: str
    first: ModelFiles
    second: ModelFiles
    switch: int
    source: str

    @property
    def about(self) -> str:
        names = [Path(each.name).name for each in (self.first, self.second)]
        return f"Scales 1 to {self.switch} by {names[0]}, the others by {names[1]}"

    @property
    def parts(self) -> tuple[ModelFiles, ModelFiles]:
        return self.first, self.second


def published_files(model: Published, weights: Path) -> ModelFiles | PairFiles:
    """A published model's own files. Raises ModelNotFoundError for what is missing."""
    found = {stem: published_file(weights, stem) for stem in model.stems}
    missing = [f"{stem}.pth" for stem, path in found.items() if path is None]
    if missing:
        raise ModelNotFoundError(
            f"model {model.name!r} is not complete in {weights}: {' and '.join(missing)} missing; "
            f"run: python -m engine models download {model.name}"
        )
    vqvae, *own = (path for path in found.values() if path is not None)
    source = model.repository
    if not isinstance(model, Drafted):
        return ModelFiles(model.name, vqvae, own[0], model.about, source, model.licence)
    first, second = (
        ModelFiles(path.stem, vqvae, path, "", source, model.licence) for path in own
    )
    return PairFiles(model.name, first, second, model.switch, source)


def files_in(name: str, folder: Path) -> ModelFiles | PairFiles:
    """The one VQVAE and the one transformer of a folder, under our names or the official ones."""
    if is_own(folder):
        about = _about(folder)
        return ModelFiles(name, folder / OWN_VQVAE, folder / OWN_VAR, about, str(folder))
    present = [
        model
        for model in OFFICIAL
        if all(published_file(folder, stem) is not None for stem in model.stems)
    ]
    if not present:
        first = OFFICIAL[0].stems
        raise ModelNotFoundError(
            f"{folder}: expected {OWN_VQVAE} and {OWN_VAR}, or {first[0]}.pth and a "
            f"{first[1]}.pth, found {_listing(folder)}"
        )
    if len(present) > 1:
        names = ", ".join(f"{model.stem}.pth" for model in present)
        raise ModelNotFoundError(
            f"{folder}: expected one model, found {names}; give the path of one of these files"
        )
    return _renamed(published_files(present[0], folder), name, str(folder))


def files_of(name: str, path: Path) -> ModelFiles | PairFiles:
    """A transformer's file; one half of a published pair with the other half beside it."""
    pair = next((p for p in OFFICIAL if isinstance(p, Drafted) and path.stem in p.stems[1:]), None)
    if pair is None:
        return beside(name, path)
    other = next(stem for stem in pair.stems[1:] if stem != path.stem)
    if published_file(path.parent, other) is None:
        half = f"the first {pair.switch} scales" if path.stem == pair.stem else "the last scales"
        raise ModelNotFoundError(
            f"{path}: draws {half} only and needs {other}.pth beside it; run: python -m engine "
            f"models download {pair.name}"
        )
    return _renamed(published_files(pair, path.parent), name, str(path))


def _renamed(files: ModelFiles | PairFiles, name: str, source: str) -> ModelFiles | PairFiles:
    """Files that were found in somebody's folder: of a model there is no more to be said."""
    if isinstance(files, PairFiles):
        return replace(files, name=name, source=source)
    return replace(files, name=name, source=source, about="")


def beside(name: str, path: Path) -> ModelFiles:
    """A transformer's file with its VQVAE beside it, or both in one file of the trainer's.

    Beside a published file is its own; beside another any that is published.
    """
    folder = path.parent
    own = folder / OWN_VQVAE
    if path.name == OWN_VAR and own.is_file():
        return ModelFiles(name, own, path, _about(folder), str(path))
    known = [BY_STEM[path.stem].tokenizer] if path.stem in BY_STEM else []
    near = [published_file(folder, each.stem) for each in (*known, *TOKENIZERS)]
    official = next((each for each in near if each is not None), None)
    licence = BY_STEM[path.stem].licence if path.stem in BY_STEM else ""
    return ModelFiles(name, official or path, path, "", str(path), licence)


def published_file(folder: Path, stem: str) -> Path | None:
    candidates = (folder / f"{stem}{ending}" for ending in ENDINGS)
    return next((path for path in candidates if path.is_file()), None)


def is_own(folder: Path) -> bool:
    return (folder / OWN_VQVAE).is_file() and (folder / OWN_VAR).is_file()


def _about(folder: Path) -> str:
    return metadata_of(folder / OWN_VAR).get("about", "")


def metadata_of(path: Path) -> dict[str, str]:
    """The metadata of one of our files; nothing if it cannot be read (loading will say why)."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError):
        return {}


def _listing(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{', '.join(names[:5])}{more}" if names else "nothing"
