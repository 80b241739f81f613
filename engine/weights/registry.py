"""The models that varpaint knows, where their files are, and which of them to take.

Importing this loads no network library: listing models has to be quick. Official checkpoints are
found in the weights folder under their official names, whoever put them there; a folder in it (or
anywhere, given as a path) that holds a VQVAE and a transformer is a model too.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from engine.errors import CheckpointError, DownloadError, ModelNotFoundError
from engine.weights.download import (
    SUM_SUFFIX,
    Told,
    fetch,
    recorded,
    sha256,
    unfinished,
)
from engine.weights.places import (
    HALVES,
    HOME,
    OWN_VAR,
    OWN_VQVAE,
    WEIGHTS,
    ModelFiles,
    PairFiles,
    beside,
    files_in,
    files_of,
    is_own,
    metadata_of,
    published_file,
    published_files,
)
from engine.weights.published import BY_NAME, OFFICIAL, Published

BUNDLED = "bundled"
AUTO = "auto"


@dataclass(frozen=True)
class ModelInfo:
    """A model as it is offered to a user. ``bytes`` is what its files take, here or to download;
    ``missing``, what is still to come of them, and ``begun``, whether some is here that no other
    model needs. ``memory`` is what an edit takes in half precision, 0 where nobody knows;
    ``suits``, what somebody who chooses wants to hear. One that is ``published`` can be
    downloaded."""

    name: str
    title: str
    about: str
    side: int
    present: bool
    bytes: int
    source: str
    licence: str
    memory: int = 0
    commercial: bool = True
    suits: str = ""
    published: bool = False
    missing: int = 0
    begun: bool = False


def models(weights: Path = WEIGHTS) -> list[ModelInfo]:
    """Every known model, the bundled one first, then the official ones, then folders of yours."""
    found = [_describe_folder(BUNDLED, bundled_folder(weights))]
    for model in OFFICIAL:
        paths = [published_file(weights, stem) for stem in model.stems]
        here = [_size(path) for path in paths if path is not None]
        present = len(here) == len(paths)
        found.append(
            ModelInfo(
                name=model.name,
                title=model.title,
                about=model.about,
                side=model.side,
                present=present,
                bytes=sum(here) if present else model.bytes,
                source=model.repository,
                licence=model.licence,
                memory=model.memory(bytes_per_weight=2),
                commercial=model.commercial,
                suits=model.suits,
                published=True,
                missing=0 if present else _missing(model, weights),
                begun=not present and _is_wanted(model, weights),
            )
        )
    found.extend(_describe_folder(folder.name, folder) for folder in _own_folders(weights))
    return found


def _missing(model: Published, weights: Path) -> int:
    """Bytes of a model's files that are not here yet, roughly: the files are a little larger than
    their weights."""
    whole = [published_file(weights, stem) for stem in model.stems]
    here = [path for path in whole if path is not None]
    here += [part for stem in model.stems for part in unfinished(weights, f"{stem}.pth")]
    return max(0, model.bytes - sum(map(_size, here)))


def _size(path: Path) -> int:
    """Bytes of a file; 0 if it is gone by now, as what has come of a download is at its end."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def resolve(
    name: str = AUTO,
    weights: Path = WEIGHTS,
    *,
    memory: int | None = None,
    bytes_per_weight: int = 2,
) -> ModelFiles | PairFiles:
    """The files of a model given by name, or as the path of a folder or of a transformer's file; or
    of a pair, such as "var-d30+var-d16@8" (`pair_of`).

    "auto" is the best official model present that fits ``memory`` (None: what is free now, on the
    GPU if there is one), else the bundled one. Raises ModelNotFoundError.
    """
    if name == AUTO:
        free = free_memory() if memory is None else memory
        here = [info.name for info in models(weights) if info.present]
        fitting = (
            model.name
            for model in reversed(OFFICIAL)
            if model.auto and model.name in here and model.memory(bytes_per_weight) <= free
        )
        name = next(fitting, BUNDLED)
    if name in BY_NAME:
        return published_files(BY_NAME[name], weights)
    if name == BUNDLED:
        folder = bundled_folder(weights)
        if not is_own(folder):
            raise ModelNotFoundError(
                f"the bundled model is missing: expected {OWN_VQVAE} and {OWN_VAR} in {folder}; "
                "restore them from the repository, or name another model"
            )
        return files_in(BUNDLED, folder)
    for folder in _own_folders(weights):
        if folder.name == name:
            return files_in(name, folder)
    with suppress(OSError, RuntimeError, ValueError):  # no path: too long, "~nobody", a null
        path = Path(name).expanduser()
        if name and path.is_dir():
            return files_in(name, path)
        if name and path.is_file():
            return files_of(name, path)
    if (pair := pair_of(name)) is not None:
        return _resolve_pair(*pair, weights)
    raise ModelNotFoundError(_unknown(name, weights))


def pair_of(name: str) -> tuple[str, str, int] | None:
    """The parts of a pair's name, such as "var-d30+var-d16@8": the first model, the second, and how
    many scales the first one draws. None for a name without "+"."""
    if "+" not in name:
        return None
    found = re.fullmatch(r"([^+]+)\+([^+]+)@(\d{1,3})", name)
    if found is None:
        raise ModelNotFoundError(
            f"expected a pair such as var-d30+var-d16@8, the first model for 8 scales and the "
            f"second for the others, found {name!r:.60}"
        )
    return found[1], found[2], int(found[3])


def _resolve_pair(first: str, second: str, switch: int, weights: Path) -> PairFiles:
    parts = []
    for number, name in enumerate((first, second)):
        path = Path(name).expanduser()
        if path.is_file() and path.stem in HALVES[number]:
            parts.append(beside(name, path))
            continue
        found = resolve(name, weights)
        if isinstance(found, PairFiles):
            raise ModelNotFoundError(f"expected two models in a pair, found the pair {name!r}")
        parts.append(found)
    own, other = parts
    name = f"{Path(own.name).name}+{Path(other.name).name}@{switch}"
    return PairFiles(name, own, other, switch, own.source)


def download(
    name: str,
    weights: Path = WEIGHTS,
    *,
    endpoint: str | None = None,
    told: Told | None = None,
) -> list[Path]:
    """Fetch the files of an official model that are not in ``weights`` yet; the paths of all.
    ``told`` watches (`engine.weights.download.Told`).

    Raises ModelNotFoundError for an unknown name, DownloadError for everything on the way.
    """
    if name == BUNDLED:
        raise DownloadError("the bundled model comes with varpaint; there is nothing to download")
    if name not in BY_NAME:
        raise ModelNotFoundError(_unknown(name, weights))
    paths = []
    for repository, stem in BY_NAME[name].files:
        path = published_file(weights, stem)
        if path is None:
            path = fetch(repository, f"{stem}.pth", weights, endpoint=endpoint, told=told)
        paths.append(path)
    return paths


def remove(name: str, weights: Path = WEIGHTS) -> list[Path]:
    """Delete an official model's files, and what was begun of them; the paths of those deleted.

    A file that another model needs, which is here or begun, stays. Raises ModelNotFoundError for
    any other model: the bundled one comes with varpaint, and folders are somebody's own work.
    """
    if name not in BY_NAME:
        raise ModelNotFoundError(
            f"{name[:60]!r}: only official models can be removed; what else is here, is yours"
        )
    needed = {
        stem
        for other in OFFICIAL
        if other.name != name and _is_wanted(other, weights)
        for stem in other.stems
    }
    deleted = []
    for stem in BY_NAME[name].stems:
        if stem in needed:
            continue
        whole = published_file(weights, stem)
        for path in (*unfinished(weights, f"{stem}.pth"), *([whole] if whole else [])):
            path.unlink(missing_ok=True)
            path.with_name(path.name + SUM_SUFFIX).unlink(missing_ok=True)
            deleted.append(path)
    return deleted


def _is_wanted(model: Published, weights: Path) -> bool:
    """Whether a model's own transformer is here, or begun."""
    own = model.stems[1:]
    here = any(published_file(weights, stem) is not None for stem in own)
    return here or any(unfinished(weights, f"{stem}.pth") for stem in own)


def verify(name: str, weights: Path = WEIGHTS) -> list[str]:
    """Check a model's files: SHA-256 against the one recorded at download, layout, values.

    One line a file; raises CheckpointError for the first that is not what it should be.
    """
    files = resolve(name, weights)
    if isinstance(files, PairFiles):
        lines = [line for part in files.parts for line in _verified(part)]
        return list(dict.fromkeys(lines))
    return _verified(files)


def _verified(files: ModelFiles) -> list[str]:
    from engine.weights.checkpoint import inspect

    sums = [_checked(path) for path in (files.vqvae, files.var)]
    own = inspect(files.var, values=True)
    assert own.family is not None
    partner = inspect(files.vqvae, own.family.layout.tokenizer.kind, values=True)
    known = BY_NAME.get(files.name)
    lines = []
    for found, path, checked, expected in (
        (partner, files.vqvae, sums[0], known and known.tokenizer_spec),
        (own, files.var, sums[1], known and known.spec),
    ):
        if expected is not None and found.spec != expected:
            raise CheckpointError(f"{path}: expected {expected}, found {found.spec}")
        lines.append(f"{path}: {found.kind}, complete, {checked}")
    return lines


def _checked(path: Path) -> str:
    """A file's SHA-256, in words; refuses one that is not the recorded one."""
    found, known = sha256(path), recorded(path)
    if known is not None and found != known:
        raise CheckpointError(
            f"{path}: expected SHA-256 {known} as recorded in {path.name}{SUM_SUFFIX}, found "
            f"{found}; delete the file and fetch it again"
        )
    return f"SHA-256 {found} ({'as recorded' if known else 'nothing recorded to compare with'})"


def bundled_folder(weights: Path) -> Path:
    """The bundled model's folder; it comes with the code, wherever downloads go to."""
    here = weights / BUNDLED
    return here if is_own(here) else HOME / BUNDLED


def _own_folders(weights: Path) -> Iterator[Path]:
    """Models of the user's own: folders in our format, under names that mean nothing else."""
    if not weights.is_dir():
        return
    for folder in sorted(weights.iterdir()):
        if folder.name not in (AUTO, BUNDLED, *BY_NAME) and is_own(folder):
            yield folder


def _describe_folder(name: str, folder: Path) -> ModelInfo:
    present = is_own(folder)
    metadata = metadata_of(folder / OWN_VAR) if present else {}
    paths = (folder / OWN_VQVAE, folder / OWN_VAR)
    return ModelInfo(
        name=name,
        title="Bundled, small" if name == BUNDLED else name,
        about=metadata.get("about", "") if present else "missing: restore it from the repository",
        side=_side(metadata_of(folder / OWN_VQVAE)) if present else 0,
        present=present,
        bytes=sum(map(_size, paths)) if present else 0,
        source=str(folder),
        licence=metadata.get("licence", ""),
    )


def _side(metadata: dict[str, str]) -> int:
    from engine.model.spec import VQVAESpec

    try:
        fields = json.loads(metadata["spec"])
        lists = {key: tuple(fields[key]) for key in ("scales", "multipliers")}
        return VQVAESpec(**{**fields, **lists}).side
    except (KeyError, ValueError, TypeError, IndexError):
        return 0


def _unknown(name: str, weights: Path) -> str:
    known = [AUTO, *(info.name for info in models(weights))]
    near = difflib.get_close_matches(name.lower().replace("_", "-"), known, n=2, cutoff=0.6)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    short = name if len(name) <= 60 else f"{name[:57]}..."
    return f"unknown model {short!r}; {hint}known: {', '.join(known)}, or the path of a folder"


def free_memory(device: str | None = None) -> int:
    """Bytes free for a model on a device, "cpu" or "cuda:1"; None: the GPU if there is one."""
    import torch

    if torch.cuda.is_available() and (device is None or torch.device(device).type == "cuda"):
        return int(torch.cuda.mem_get_info(device)[0])
    limits = []
    with suppress(OSError, ValueError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                limits.append(int(line.split()[1]) * 1024)
    with suppress(OSError, ValueError):  # a container may have less than the machine
        limits.append(int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    if not limits:  # no Linux: half of the memory built in
        with suppress(AttributeError, OSError, ValueError):
            limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2)
    return min(limits, default=0)
