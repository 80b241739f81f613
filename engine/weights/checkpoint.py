"""Networks from files and back: strict reading, atomic writing.

Read are the authors' ``.pth`` files (flat, or nested as their trainer saves them), the same names
in safetensors, and our own format: ``vqvae.safetensors`` and ``var.safetensors`` in one folder,
half precision, with the spec, the class names and an "about" text as metadata.

Weights go from the mapped file to their final precision and device tensor by tensor, so no second
copy of a network is held.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from engine.errors import CheckpointError, RequestError
from engine.model import VAR, VQVAE
from engine.model.attention import Attention, choose_attention
from engine.model.spec import SCALES_256, VARSpec, VQVAESpec
from engine.options import EditOptions
from engine.weights.architecture import (
    ATTENTION_BIAS,
    HITS,
    LEVELS,
    LayoutError,
    Spec,
    infer_var,
    infer_vqvae,
    require_layout,
    scales_of_levels,
    skeleton_var,
    skeleton_vqvae,
)
from engine.weights.file import StrPath, WeightsFile, open_weights

FORMAT = "varpaint"
VERSION = 1
VQVAE_FILE = "vqvae.safetensors"
VAR_FILE = "var.safetensors"
DRAWS_FILE = "draws.json"  # beside it: of which members a class draws, if not of all
NESTED = {"VAR": "var_wo_ddp", "VQVAE": "vae_local"}  # the authors' trainer's names

# Kept in float32 whatever the precision asked for: the quantizer and what feeds it, because a
# rounded codebook or feature picks other tokens, and what is small and added up in float32 anyway,
# where rounding would save nothing.
EXACT = ("quantize.", "quant_conv.", "encoder.linear.")
FLOAT32 = (*EXACT, "pos_start", "pos_1LC", "lvl_embed.", "word_embed.", "known_embed")
# What a file may recommend under "defaults".
SAMPLING = {"guidance", "guidance_schedule", "top_k", "top_p", "temperature", "soft_scales"}
FLOAT32_ENDS = ("scale_mul_1H11", "ada_gss")


@dataclass(frozen=True)
class Loaded:
    """A pair of networks ready to run, and what their files say about them."""

    vqvae: VQVAE
    var: VAR
    labels: tuple[str, ...]  # class names by id; empty where the file names none
    about: str
    defaults: Mapping[str, Any] = field(default_factory=dict)  # sampling that suits the model
    members: Mapping[str, Sequence[str]] = field(default_factory=dict)  # class -> what it is
    draws: Mapping[str, Sequence[str]] = field(default_factory=dict)  # class -> what it draws


@dataclass(frozen=True)
class Inspection:
    """What a weights file holds, found without reading its weights."""

    spec: Spec
    labels: tuple[str, ...]
    about: str


def save_model(
    folder: StrPath,
    vqvae: VQVAE | None,
    var: VAR | None,
    *,
    labels: list[str],
    about: str,
    members: Mapping[str, Sequence[str]] | None = None,
    extra: dict[str, str] | None = None,
) -> None:
    """Write one or both networks in our own format, each file whole or not at all.

    ``labels`` are the class names by id, ``members`` the names that others of them stand for,
    ``about`` says what the model is and under which licence,
    ``extra`` is further metadata; its "defaults", JSON such as {"top_k": 20}, is the sampling that
    suits the model. Saved together, the two files know each other by the codebook.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    common = {**(extra or {}), "format": FORMAT, "version": str(VERSION), "about": about}
    if vqvae is not None:
        common["codebook"] = _fingerprint(vqvae)
        _write(folder / VQVAE_FILE, vqvae, common)
    if var is not None:
        if len(labels) != var.spec.num_classes:
            raise CheckpointError(
                f"{folder / VAR_FILE}: expected {var.spec.num_classes} class names, "
                f"found {len(labels)}"
            )
        own = {"labels": json.dumps(labels, ensure_ascii=False)}
        if members:
            own["members"] = json.dumps(members, ensure_ascii=False)
        _write(folder / VAR_FILE, var, {**common, **own})


def load_vqvae(
    path: StrPath,
    *,
    scales: tuple[int, ...] | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> VQVAE:
    """The VQVAE of a file, its convolutions in ``dtype``, its quantizer in float32.

    ``scales`` is the schedule of the transformer that it is to work with; an official file serves
    both schedules, one of ours only its own.
    """
    with _open(path, "VQVAE") as source, _naming(source):
        return _build_vqvae(source, _vqvae_spec(source, scales), torch.device(device), dtype)


def load_var(
    path: StrPath,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    attention: Attention | None = None,
) -> VAR:
    """The transformer of a file, its matrices in ``dtype``; ``attention`` None picks by device."""
    with _open(path, "VAR") as source, _naming(source):
        return _build_var(source, _var_spec(source), torch.device(device), dtype, attention)


def load_pair(
    vqvae_path: StrPath,
    var_path: StrPath,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    attention: Attention | None = None,
    vqvae_dtype: torch.dtype | None = None,
) -> Loaded:
    """Both networks, checked against each other; the paths may be one and the same file."""
    device = torch.device(device)
    with _open(var_path, "VAR") as own, _open(vqvae_path, "VQVAE") as partner:
        with _naming(own):
            spec = _var_spec(own)
            labels = _labels(own, spec)
        with _naming(partner):
            vqvae_spec = _vqvae_spec(partner, spec.scales)
            _require_pair(partner, vqvae_spec, own, spec)
            vqvae = _build_vqvae(partner, vqvae_spec, device, vqvae_dtype or dtype)
        with _naming(own):
            var = _build_var(own, spec, device, dtype, attention)
            defaults = _parsed(own, "defaults", _is_sampling) or {}
            members = _members(own, labels)
    draws = _draws(Path(var_path).with_name(DRAWS_FILE), members)
    return Loaded(vqvae, var, labels, own.metadata.get("about", ""), defaults, members, draws)


def require_codebook(path: StrPath, vqvae: VQVAE) -> None:
    """Raise CheckpointError unless the transformer in a file draws the codes of this VQVAE."""
    with _open(path, "VAR") as own, _naming(own):
        spec, ours = _var_spec(own), vqvae.spec
        wanted = (spec.codebook_size, spec.latent_channels, spec.scales)
        found = (ours.codebook_size, ours.latent_channels, ours.scales)
        if wanted != found:
            raise LayoutError(
                f"expected a VQVAE of {wanted[0]} x {wanted[1]} codes on scales {wanted[2]}, found "
                f"{found[0]} x {found[1]} on {found[2]}; give the transformer of this VQVAE"
            )
        trained = own.metadata.get("codebook")
        if trained and trained != _fingerprint(vqvae):
            raise LayoutError("was trained with another codebook; give that of this VQVAE")


def inspect(path: StrPath, kind: str, *, values: bool = False) -> Inspection:
    """What the "VAR" or "VQVAE" in a file is, by its names and shapes.

    With ``values`` every weight is read as well and has to be a number.
    """
    with _open(path, kind) as source, _naming(source):
        spec = _vqvae_spec(source, None) if kind == "VQVAE" else _var_spec(source)
        require_layout(spec, source.shapes)
        labels = _labels(source, spec) if isinstance(spec, VARSpec) else ()
        _members(source, labels)
        for name in source.shapes if values else ():
            tensor = source.read(name)
            if name != ATTENTION_BIAS and not bool(tensor.isfinite().all()):
                raise LayoutError(f"expected numbers in '{name}', found inf or nan")
            source.release(tensor)
        return Inspection(spec, labels, source.metadata.get("about", ""))


# Reading


@contextmanager
def _open(path: StrPath, kind: str) -> Iterator[WeightsFile]:
    with open_weights(path, NESTED[kind]) as source:
        version = source.metadata.get("version", "1")
        if source.metadata.get("format") == FORMAT and version != str(VERSION):
            raise CheckpointError(
                f"{path}: expected format version {VERSION}, found {version!r:.20}; "
                "update varpaint"
            )
        yield source


@contextmanager
def _naming(source: WeightsFile) -> Iterator[None]:
    """Turns a layout that does not fit into the one line that names the file."""
    try:
        yield
    except LayoutError as error:
        raise CheckpointError(f"{source.path}: {error}") from None


def _var_spec(source: WeightsFile) -> VARSpec:
    scales = _declared_scales(source)
    if scales is None and len(source.shapes.get(LEVELS, ())) == 2:
        scales = scales_of_levels(source.read(LEVELS).flatten().tolist())
    spec = infer_var(source.shapes, scales)
    _require_declared(source, spec)
    return spec


def _vqvae_spec(source: WeightsFile, scales: tuple[int, ...] | None) -> VQVAESpec:
    declared = _declared_scales(source)
    if declared is not None and scales is not None and declared != scales:
        raise LayoutError(f"expected a VQVAE of the scales {scales}, found {declared}")
    spec = infer_vqvae(source.shapes, declared or scales or SCALES_256)
    _require_declared(source, spec)
    return spec


def _require_pair(
    partner: WeightsFile, vqvae: VQVAESpec, own: WeightsFile, var: VARSpec
) -> None:
    """Refuse a transformer that was trained with another codebook."""
    apart = "these two files do not belong together"
    if (vqvae.codebook_size, vqvae.latent_channels) != (var.codebook_size, var.latent_channels):
        raise LayoutError(
            f"expected a codebook of {var.codebook_size} x {var.latent_channels} to go with "
            f"{own.path}, found {vqvae.codebook_size} x {vqvae.latent_channels}; {apart}"
        )
    wanted, found = (each.metadata.get("codebook") for each in (own, partner))
    if wanted and found and wanted != found:
        raise LayoutError(
            f"expected the codebook {wanted} that {own.path} was trained with, found {found}; "
            f"{apart}"
        )


def _build_vqvae(
    source: WeightsFile, spec: VQVAESpec, device: torch.device, dtype: torch.dtype
) -> VQVAE:
    require_layout(spec, source.shapes)
    vqvae = skeleton_vqvae(spec)
    hits = torch.zeros(len(spec.scales), spec.codebook_size)
    _fill(vqvae, source, {HITS: hits}, device, dtype)
    return vqvae


def _build_var(
    source: WeightsFile,
    spec: VARSpec,
    device: torch.device,
    dtype: torch.dtype,
    attention: Attention | None,
) -> VAR:
    require_layout(spec, source.shapes)
    var = skeleton_var(spec, attention or choose_attention(device))
    level = torch.cat([torch.full((side * side,), k) for k, side in enumerate(spec.scales)])
    buffers = {LEVELS: level.view(1, -1)}
    for name in var.state_dict():
        if name.endswith("zero_k_bias"):
            buffers[name] = torch.zeros(spec.width, dtype=dtype)
    for name, expected in buffers.items():
        if name in source.shapes and not torch.equal(source.read(name).to(expected), expected):
            raise LayoutError(f"expected the usual values in '{name}', found others")
    if ATTENTION_BIAS in source.shapes:
        # Ours attends scale by scale and needs no mask; another mask would be another network.
        visible = level[:, None] >= level
        bias = source.read(ATTENTION_BIAS)[0, 0]
        if not (torch.equal(bias == 0, visible) and torch.equal(bias.isneginf(), ~visible)):
            raise LayoutError(f"expected a mask by scale in '{ATTENTION_BIAS}', found another")
        source.release(bias)
    _fill(var, source, buffers, device, dtype)
    return var


def _fill(
    network: nn.Module,
    source: WeightsFile,
    buffers: dict[str, Tensor],
    device: torch.device,
    dtype: torch.dtype,
) -> None:
    """Give a skeleton its weights, each cast on its own; buffers are made, not read."""
    state: dict[str, Tensor] = {}
    for name in network.state_dict():
        if name in buffers:
            state[name] = buffers[name].to(device)
            continue
        stored = source.read(name)
        if not stored.is_floating_point():
            raise LayoutError(f"expected floats in '{name}', found {stored.dtype}")
        wanted = _precision(name, dtype)
        # A copy even where nothing changes: a view would die with the file under it.
        state[name] = stored.to(wanted, copy=True).contiguous().to(device)
        source.release(stored)
    network.load_state_dict(state, strict=True, assign=True)
    network.requires_grad_(False).eval()


def _precision(name: str, dtype: torch.dtype) -> torch.dtype:
    exact = name.startswith(FLOAT32) or name.endswith(FLOAT32_ENDS)
    return torch.float32 if exact else dtype


# Metadata of our own format


def _parsed(source: WeightsFile, key: str, kind: Callable[[Any], bool]) -> Any:
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


def _is_sampling(value: Any) -> bool:
    """Whether a value is a model's own sampling defaults, such as {"top_k": 20}.

    They are used as they stand, so {"top_k": "20"} and {"top_k": null} are none.
    """
    if not isinstance(value, dict) or not set(value) <= SAMPLING:
        return False
    try:
        options = EditOptions(**value)
    except RequestError:
        return False

    def as_it_stands(given: Any, read: Any) -> bool:
        number = isinstance(read, float) and type(given) is int
        return given is not None and given == read and (number or type(given) is type(read))

    return all(as_it_stands(given, getattr(options, name)) for name, given in value.items())


def _declared_scales(source: WeightsFile) -> tuple[int, ...] | None:
    spec = _parsed(source, "spec", lambda value: isinstance(value, dict))
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


def _require_declared(source: WeightsFile, spec: Spec) -> None:
    """Refuse metadata that tells another story than the tensors do."""
    declared = _parsed(source, "spec", lambda value: isinstance(value, dict))
    if declared is None:
        return
    usual = {each.name: each.default for each in fields(spec)}  # files older than a field
    for key, found in json.loads(json.dumps(asdict(spec))).items():
        if declared.get(key, usual[key]) != found:
            raise LayoutError(
                f"expected {key} {declared.get(key)!r:.60} as its metadata says, found {found!r}"
            )


def _labels(source: WeightsFile, spec: VARSpec) -> tuple[str, ...]:
    names = _parsed(
        source,
        "labels",
        lambda value: isinstance(value, list) and all(isinstance(each, str) for each in value),
    )
    if names is not None and len(names) != spec.num_classes:
        raise LayoutError(f"expected {spec.num_classes} class names, found {len(names)}")
    return tuple(names or ())


def _members(source: WeightsFile, labels: tuple[str, ...]) -> dict[str, list[str]]:
    """Which classes stand for which others."""
    known = set(labels)

    def is_members(value: Any) -> bool:
        return isinstance(value, dict) and all(
            isinstance(some, list) and some and known.issuperset([name, *map(str, some)])
            for name, some in value.items()
        )

    return dict(_parsed(source, "members", is_members) or {})


def _draws(path: Path, members: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
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


# Writing


def _write(path: Path, network: VQVAE | VAR, metadata: dict[str, str]) -> None:
    """Write beside the target, then rename: a reader sees the old file or the new one."""
    tensors = {name: _stored(name, value) for name, value in network.state_dict().items()}
    metadata = {**metadata, "spec": json.dumps(asdict(network.spec))}
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        save_file(tensors, part, metadata)
        part.chmod(0o644)  # safetensors writes 0o600
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _stored(name: str, tensor: Tensor) -> Tensor:
    """A tensor as our format keeps it: half precision, except where that would change results."""
    tensor = tensor.detach().cpu().contiguous()
    if not tensor.is_floating_point() or name.startswith(EXACT):
        return tensor.clone()
    half = tensor.to(torch.float16, copy=True)
    fits = bool(half.isfinite().all()) or not bool(tensor.isfinite().all())
    return half if fits else tensor.clone()


def _fingerprint(vqvae: VQVAE) -> str:
    """A short name for a codebook, the same on every machine."""
    codebook = vqvae.quantize.embedding.weight.detach().float().cpu().contiguous()
    return hashlib.sha256(codebook.numpy().tobytes()).hexdigest()[:16]
