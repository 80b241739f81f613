"""The models that varpaint knows, where their files are, and which of them to take.

Importing this loads no network library: listing models has to be quick. Official checkpoints are
found in the weights folder under their official names, whoever put them there; a folder in it (or
anywhere, given as a path) that holds a VQVAE and a transformer is a model too.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from engine.errors import CheckpointError, DownloadError, ModelNotFoundError
from engine.weights.download import SUM_SUFFIX, fetch, recorded, sha256

WEIGHTS = Path(__file__).resolve().parent.parent.parent / "weights"
BUNDLED = "bundled"
AUTO = "auto"
REPOSITORY = "FoundationVision/var"
ENDINGS = (".pth", ".safetensors")
OFFICIAL_VQVAE = "vae_ch160v4096z32"
OWN_VQVAE, OWN_VAR = "vqvae.safetensors", "var.safetensors"

_VQVAE_PARAMETERS = 108_948_355
_PICTURES_256 = "Photos of the 1000 ImageNet classes at 256 px"
_PICTURES_512 = "Photos of the 1000 ImageNet classes at 512 px"


@dataclass(frozen=True)
class ModelInfo:
    """A model as it is offered to a user. ``bytes`` is what its files take, here or to download."""

    name: str
    title: str
    about: str
    side: int
    present: bool
    bytes: int
    source: str
    licence: str


@dataclass(frozen=True)
class ModelFiles:
    """A model found on disk."""

    name: str
    vqvae: Path
    var: Path
    about: str
    source: str


@dataclass(frozen=True)
class _Official:
    """A published checkpoint; the FID is the authors' own on ImageNet, lower is better."""

    depth: int
    side: int
    tokens: int
    parameters: int
    fid: float

    @property
    def name(self) -> str:
        return f"var-d{self.depth}"

    @property
    def stem(self) -> str:
        return f"var_d{self.depth}"

    @property
    def about(self) -> str:
        what = _PICTURES_512 if self.side == 512 else _PICTURES_256
        return f"{what}, {self.parameters / 1e9:.2g} billion parameters, FID {self.fid}"

    def memory(self, bytes_per_weight: int) -> int:
        """Bytes that an edit takes: weights of both networks, keys and values, the decoder.

        Keys and values are those of two guidance branches; the decoder holds about six maps of 160
        channels at full resolution at a time.
        """
        weights = (self.parameters + _VQVAE_PARAMETERS) * bytes_per_weight
        cache = 2 * self.depth * self.tokens * 64 * self.depth * 2 * bytes_per_weight
        decoder = 6 * 160 * self.side**2 * bytes_per_weight
        return weights + cache + decoder


OFFICIAL = (
    _Official(16, 256, 680, 310_283_520, 3.55),
    _Official(20, 256, 680, 600_917_136, 2.95),
    _Official(24, 256, 680, 1_033_399_360, 2.33),
    _Official(30, 256, 680, 2_010_020_356, 1.97),
    _Official(36, 512, 2240, 2_353_893_904, 2.63),
)
_BY_NAME = {model.name: model for model in OFFICIAL}


def official_depth(name: str) -> int | None:
    """The depth of a published transformer; None for a name of another model."""
    return _BY_NAME[name].depth if name in _BY_NAME else None


def models(weights: Path = WEIGHTS) -> list[ModelInfo]:
    """Every known model, the bundled one first, then the official ones, then folders of yours."""
    found = [_describe_folder(BUNDLED, _bundled(weights))]
    for model in OFFICIAL:
        paths = [_official_file(weights, stem) for stem in (OFFICIAL_VQVAE, model.stem)]
        present = [path.stat().st_size for path in paths if path is not None]
        found.append(
            ModelInfo(
                name=model.name,
                title=f"VAR d{model.depth}, {model.side} px",
                about=model.about,
                side=model.side,
                present=len(present) == len(paths),
                bytes=sum(present)
                if len(present) == len(paths)
                else 4 * (model.parameters + _VQVAE_PARAMETERS),
                source=REPOSITORY,
                licence="MIT",
            )
        )
    found.extend(_describe_folder(folder.name, folder) for folder in _own_folders(weights))
    return found


def resolve(
    name: str = AUTO,
    weights: Path = WEIGHTS,
    *,
    memory: int | None = None,
    bytes_per_weight: int = 2,
) -> ModelFiles:
    """The files of a model given by name, or as the path of a folder or of a transformer's file.

    "auto" is the best official model present that fits ``memory`` (None: what is free now, on the
    GPU if there is one), else the bundled one. Raises ModelNotFoundError.
    """
    if name == AUTO:
        free = free_memory() if memory is None else memory
        here = [info.name for info in models(weights) if info.present]
        fitting = (
            model.name
            for model in reversed(OFFICIAL)
            if model.name in here and model.memory(bytes_per_weight) <= free
        )
        name = next(fitting, BUNDLED)
    if name in _BY_NAME:
        return _resolve_official(_BY_NAME[name], weights)
    if name == BUNDLED:
        folder = _bundled(weights)
        if not _is_own(folder):
            raise ModelNotFoundError(
                f"the bundled model is missing: expected {OWN_VQVAE} and {OWN_VAR} in {folder}; "
                "restore them from the repository, or name another model"
            )
        return _resolve_folder(BUNDLED, folder)
    for folder in _own_folders(weights):
        if folder.name == name:
            return _resolve_folder(name, folder)
    with suppress(OSError, RuntimeError, ValueError):  # no path: too long, "~nobody", a null
        path = Path(name).expanduser()
        if name and path.is_dir():
            return _resolve_folder(name, path)
        if name and path.is_file():
            return _resolve_file(name, path)
    raise ModelNotFoundError(_unknown(name, weights))


def download(
    name: str, weights: Path = WEIGHTS, *, endpoint: str | None = None
) -> list[Path]:
    """Fetch the files of an official model that are not in ``weights`` yet; the paths of all.

    Raises ModelNotFoundError for an unknown name, DownloadError for everything on the way.
    """
    if name == BUNDLED:
        raise DownloadError("the bundled model comes with varpaint; there is nothing to download")
    if name not in _BY_NAME:
        raise ModelNotFoundError(_unknown(name, weights))
    paths = []
    for stem in (OFFICIAL_VQVAE, _BY_NAME[name].stem):
        path = _official_file(weights, stem)
        if path is None:
            path = fetch(REPOSITORY, f"{stem}.pth", weights, endpoint=endpoint)
        paths.append(path)
    return paths


def verify(name: str, weights: Path = WEIGHTS) -> list[str]:
    """Check a model's files: SHA-256 against the one recorded at download, layout, values.

    One line a file; raises CheckpointError for the first that is not what it should be.
    """
    from engine.model.spec import VARSpec, VQVAESpec
    from engine.weights.checkpoint import inspect
    from engine.weights.metadata import Spec

    files = resolve(name, weights)
    expected: dict[str, Spec] = {}
    if files.name in _BY_NAME:
        expected = {
            "VQVAE": VQVAESpec.official(),
            "VAR": VARSpec.official(_BY_NAME[files.name].depth),
        }
    lines = []
    for kind, path in (("VQVAE", files.vqvae), ("VAR", files.var)):
        found, known = sha256(path), recorded(path)
        if known is not None and found != known:
            raise CheckpointError(
                f"{path}: expected SHA-256 {known} as recorded in {path.name}{SUM_SUFFIX}, found "
                f"{found}; delete the file and fetch it again"
            )
        spec = inspect(path, kind, values=True).spec
        wanted = expected.get(kind, spec)
        if spec != wanted:
            raise CheckpointError(f"{path}: expected {wanted}, found {spec}")
        sums = "as recorded" if known else "nothing recorded to compare with"
        lines.append(f"{path}: {kind}, complete, SHA-256 {found} ({sums})")
    return lines


def _resolve_official(model: _Official, weights: Path) -> ModelFiles:
    vqvae = _official_file(weights, OFFICIAL_VQVAE)
    var = _official_file(weights, model.stem)
    if vqvae is None or var is None:
        missing = [
            f"{stem}.pth"
            for stem, path in ((OFFICIAL_VQVAE, vqvae), (model.stem, var))
            if path is None
        ]
        raise ModelNotFoundError(
            f"model {model.name!r} is not complete in {weights}: {' and '.join(missing)} missing; "
            f"run: python -m engine models download {model.name}"
        )
    return ModelFiles(model.name, vqvae, var, model.about, REPOSITORY)


def _resolve_folder(name: str, folder: Path) -> ModelFiles:
    """The one VQVAE and the one transformer of a folder, under our names or the official ones."""
    if _is_own(folder):
        about = _about(folder)
        return ModelFiles(name, folder / OWN_VQVAE, folder / OWN_VAR, about, str(folder))
    vqvae = _official_file(folder, OFFICIAL_VQVAE)
    stems = [model.stem for model in OFFICIAL]
    present = [path for stem in stems if (path := _official_file(folder, stem)) is not None]
    if vqvae is None or not present:
        raise ModelNotFoundError(
            f"{folder}: expected {OWN_VQVAE} and {OWN_VAR}, or {OFFICIAL_VQVAE}.pth and a "
            f"{stems[0]}.pth, found {_listing(folder)}"
        )
    if len(present) > 1:
        names = ", ".join(path.name for path in present)
        raise ModelNotFoundError(
            f"{folder}: expected one model, found {names}; give the path of one of these files"
        )
    return ModelFiles(name, vqvae, present[0], "", str(folder))


def _resolve_file(name: str, path: Path) -> ModelFiles:
    """A transformer's file with its VQVAE beside it, or both in one file of the trainer's."""
    folder = path.parent
    own = folder / OWN_VQVAE
    official = _official_file(folder, OFFICIAL_VQVAE)
    if path.name == OWN_VAR and own.is_file():
        return ModelFiles(name, own, path, _about(folder), str(path))
    return ModelFiles(name, official or path, path, "", str(path))


def _official_file(folder: Path, stem: str) -> Path | None:
    candidates = (folder / f"{stem}{ending}" for ending in ENDINGS)
    return next((path for path in candidates if path.is_file()), None)


def _bundled(weights: Path) -> Path:
    """The bundled model's folder; it comes with the code, wherever downloads go to."""
    here = weights / BUNDLED
    return here if _is_own(here) else WEIGHTS / BUNDLED


def _is_own(folder: Path) -> bool:
    return (folder / OWN_VQVAE).is_file() and (folder / OWN_VAR).is_file()


def _own_folders(weights: Path) -> Iterator[Path]:
    """Models of the user's own: folders in our format, under names that mean nothing else."""
    if not weights.is_dir():
        return
    for folder in sorted(weights.iterdir()):
        if folder.name not in (AUTO, BUNDLED, *_BY_NAME) and _is_own(folder):
            yield folder


def _describe_folder(name: str, folder: Path) -> ModelInfo:
    present = _is_own(folder)
    metadata = metadata_of(folder / OWN_VAR) if present else {}
    paths = (folder / OWN_VQVAE, folder / OWN_VAR)
    return ModelInfo(
        name=name,
        title="Bundled, small" if name == BUNDLED else name,
        about=metadata.get("about", "") if present else "missing: restore it from the repository",
        side=_side(metadata_of(folder / OWN_VQVAE)) if present else 0,
        present=present,
        bytes=sum(path.stat().st_size for path in paths) if present else 0,
        source=str(folder),
        licence=metadata.get("licence", ""),
    )


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


def _side(metadata: dict[str, str]) -> int:
    from engine.model.spec import VQVAESpec

    try:
        fields = json.loads(metadata["spec"])
        lists = {key: tuple(fields[key]) for key in ("scales", "multipliers")}
        return VQVAESpec(**{**fields, **lists}).side
    except (KeyError, ValueError, TypeError, IndexError):
        return 0


def _listing(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{', '.join(names[:5])}{more}" if names else "nothing"


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
