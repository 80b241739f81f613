"""Networks from files and back: strict reading, atomic writing.

Read are the authors' ``.pth`` files (flat, or nested as their trainer saves them), the same names
in safetensors, and our own format: ``vqvae.safetensors`` and ``var.safetensors`` in one folder,
half precision, with the spec, the class names and an "about" text as metadata.

Weights go from the mapped file to their final precision and device tensor by tensor, so no second
copy of a network is held.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engine.errors import CheckpointError
from engine.model.attention import Attention, choose_attention
from engine.model.spec import SCALES_256, VARSpec, VQVAESpec
from engine.model.var.transformer import VAR
from engine.model.var.vqvae import VQVAE
from engine.weights.architecture import (
    ATTENTION_BIAS,
    HITS,
    LEVELS,
    infer_var,
    infer_vqvae,
    require_layout,
    scales_of_levels,
    skeleton_var,
    skeleton_vqvae,
)
from engine.weights.file import StrPath, WeightsFile, open_weights
from engine.weights.metadata import (
    DRAWS_FILE,
    FORMAT,
    VERSION,
    LayoutError,
    Spec,
    declared_scales,
    draws_of,
    labels_of,
    members_of,
    require_declared,
    sampling_of,
)
from engine.weights.saving import codebook_name, precision_of

NESTED = {"VAR": "var_wo_ddp", "VQVAE": "vae_local"}  # the authors' trainer's names

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
            labels = labels_of(own, spec)
        with _naming(partner):
            vqvae_spec = _vqvae_spec(partner, spec.scales)
            _require_pair(partner, vqvae_spec, own, spec)
            vqvae = _build_vqvae(partner, vqvae_spec, device, vqvae_dtype or dtype)
        with _naming(own):
            var = _build_var(own, spec, device, dtype, attention)
            defaults = sampling_of(own)
            members = members_of(own, labels)
    draws = draws_of(Path(var_path).with_name(DRAWS_FILE), members)
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
        if trained and trained != codebook_name(vqvae):
            raise LayoutError("was trained with another codebook; give that of this VQVAE")


def inspect(path: StrPath, kind: str, *, values: bool = False) -> Inspection:
    """What the "VAR" or "VQVAE" in a file is, by its names and shapes.

    With ``values`` every weight is read as well and has to be a number.
    """
    with _open(path, kind) as source, _naming(source):
        spec = _vqvae_spec(source, None) if kind == "VQVAE" else _var_spec(source)
        require_layout(spec, source.shapes)
        labels = labels_of(source, spec) if isinstance(spec, VARSpec) else ()
        members_of(source, labels)
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
    scales = declared_scales(source)
    if scales is None and len(source.shapes.get(LEVELS, ())) == 2:
        scales = scales_of_levels(source.read(LEVELS).flatten().tolist())
    spec = infer_var(source.shapes, scales)
    require_declared(source, spec)
    return spec


def _vqvae_spec(source: WeightsFile, scales: tuple[int, ...] | None) -> VQVAESpec:
    declared = declared_scales(source)
    if declared is not None and scales is not None and declared != scales:
        raise LayoutError(f"expected a VQVAE of the scales {scales}, found {declared}")
    spec = infer_vqvae(source.shapes, declared or scales or SCALES_256)
    require_declared(source, spec)
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
        wanted = precision_of(name, dtype)
        # A copy even where nothing changes: a view would die with the file under it.
        state[name] = stored.to(wanted, copy=True).contiguous().to(device)
        source.release(stored)
    network.load_state_dict(state, strict=True, assign=True)
    network.requires_grad_(False).eval()


# Metadata of our own format


# Writing

