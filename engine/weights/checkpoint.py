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
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from engine.errors import CheckpointError
from engine.model.attention import Attention, choose_attention
from engine.model.family import Model
from engine.model.relay import Relayed
from engine.model.spec import Scales, TokenizerSpec, TransformerSpec
from engine.model.var.transformer import VAR
from engine.model.var.vqvae import VQVAE
from engine.weights.architecture import family_of, layouts, require_kind
from engine.weights.families import FAMILIES, Family
from engine.weights.file import StrPath, WeightsFile, open_weights
from engine.weights.layout import Layout
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
from engine.weights.var import ATTENTION_BIAS, VAR_LAYOUT, VQVAE_LAYOUT


@dataclass(frozen=True)
class Loaded:
    """A model ready to run, and what its files say about it."""

    family: Family
    model: Model
    spec: TransformerSpec
    labels: tuple[str, ...]  # class names by id; empty where the file names none
    about: str
    defaults: Mapping[str, Any] = field(default_factory=dict)  # sampling that suits the model
    members: Mapping[str, Sequence[str]] = field(default_factory=dict)  # class -> what it is
    draws: Mapping[str, Sequence[str]] = field(default_factory=dict)  # class -> what it draws
    second: Loaded | None = None  # of a pair, the model of the fine scales


@dataclass(frozen=True)
class Inspection:
    """What a weights file holds, found without reading its weights. ``family`` is that of a
    transformer."""

    kind: str
    family: Family | None
    spec: Any
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
    with _open(path, VQVAE_LAYOUT) as source, _naming(source):
        spec = _tokenizer_spec(source, VQVAE_LAYOUT, scales)
        built = _build(source, VQVAE_LAYOUT, spec, torch.device(device), dtype)
        return cast(VQVAE, built)


def load_var(
    path: StrPath,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    attention: Attention | None = None,
) -> VAR:
    """The transformer of a file, its matrices in ``dtype``; ``attention`` None picks by device."""
    with _open(path, VAR_LAYOUT) as source, _naming(source):
        spec = _transformer_spec(source, VAR_LAYOUT)
        built = _build(source, VAR_LAYOUT, spec, torch.device(device), dtype, attention)
        return cast(VAR, built)


def load_pair(
    vqvae_path: StrPath,
    var_path: StrPath,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    attention: Attention | None = None,
    vqvae_dtype: torch.dtype | None = None,
) -> Loaded:
    """Both networks, checked against each other; the paths may be one and the same file.

    Which family they are the transformer's tensors tell.
    """
    device = torch.device(device)
    with _open(var_path, *(family.layout.transformer for family in FAMILIES)) as own:
        with _naming(own):
            family = family_of(own.shapes)
            layout = family.layout
            spec = _transformer_spec(own, layout.transformer)
            labels = labels_of(own, spec)
        with _open(vqvae_path, layout.tokenizer) as partner, _naming(partner):
            codec_spec = _tokenizer_spec(partner, layout.tokenizer, spec.scales)
            _require_pair(partner, codec_spec, own, spec)
            codec = _build(partner, layout.tokenizer, codec_spec, device, vqvae_dtype or dtype)
        with _naming(own):
            network = _build(own, layout.transformer, spec, device, dtype, attention)
            defaults = sampling_of(own)
            members = members_of(own, labels)
        about = own.metadata.get("about", "")
    draws = draws_of(Path(var_path).with_name(DRAWS_FILE), members)
    model = layout.model(codec, network)
    return Loaded(family, model, spec, labels, about, defaults, members, draws)


def load_relay(
    first: tuple[StrPath, StrPath],
    second: tuple[StrPath, StrPath],
    switch: int,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Loaded:
    """Two models as one: what is said of it is the first one's. Each has the paths of its VQVAE and
    its transformer; they have to be of one codebook, and only the first one's VQVAE is loaded."""
    own = load_pair(*first, device=device, dtype=dtype)
    last = len(own.spec.scales) - 1
    if not 1 <= switch <= last:
        raise CheckpointError(
            f"expected a pair whose first model draws 1 to {last} scales, found {switch}"
        )
    other = load_pair(*second, device=device, dtype=dtype)
    specs = [(each.family.name, each.spec.scales, each.spec.num_classes) for each in (own, other)]
    books = [each.model.scheme.codebook for each in (own, other)]
    if specs[0] != specs[1] or not torch.equal(*books):
        raise CheckpointError(
            f"{second[1]}: expected a model of the same family, scales, classes and codebook as "
            f"{first[1]} to go on from it; these two make no pair"
        )
    if own.family.name != "var":
        raise CheckpointError(
            f"{first[1]}: expected models of the family var in a pair, found {own.family.name}"
        )
    rest = other.family.layout.model(own.model.codec, other.model.networks[-1])
    return replace(own, model=Relayed(own.model, rest, switch), second=replace(other, model=rest))


def require_codebook(path: StrPath, vqvae: VQVAE) -> None:
    """Raise CheckpointError unless the transformer in a file draws the codes of this VQVAE."""
    with _open(path, VAR_LAYOUT) as own, _naming(own):
        spec, ours = _transformer_spec(own, VAR_LAYOUT), vqvae.spec
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


def inspect(path: StrPath, kind: str | None = None, *, values: bool = False) -> Inspection:
    """What the network in a file is, by its names and shapes: that of a ``kind``, such as "VAR" or
    "VQVAE", or a transformer of any family.

    With ``values`` every weight is read as well and has to be a number.
    """
    transformers = {family.layout.transformer.kind: family for family in FAMILIES}
    kinds, labels = [kind] if kind else list(transformers), tuple[str, ...]()
    with _open(path, *(layouts()[each] for each in kinds)) as source, _naming(source):
        if kind is None:
            kind = family_of(source.shapes).layout.transformer.kind
        layout, family = layouts()[kind], transformers.get(kind)
        spec: Any
        if family is not None:
            spec = _transformer_spec(source, layout)
            labels = labels_of(source, spec)
        else:
            spec = _tokenizer_spec(source, layout, None)
        layout.require(spec, source.shapes)
        members_of(source, labels)
        for name in source.shapes if values else ():
            tensor = source.read(name)
            if name != ATTENTION_BIAS and not bool(tensor.isfinite().all()):
                raise LayoutError(f"expected numbers in '{name}', found inf or nan")
            source.release(tensor)
        return Inspection(kind, family, spec, labels, source.metadata.get("about", ""))


# Reading


@contextmanager
def _open(path: StrPath, *wanted: Layout) -> Iterator[WeightsFile]:
    """A file that is to hold a network of one of these layouts; of another one it is said so."""
    with open_weights(path, [each.nested for each in (*wanted, *layouts().values())]) as source:
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


def _transformer_spec(source: WeightsFile, layout: Layout) -> Any:
    require_kind(layout, source.shapes)
    scales = declared_scales(source) or layout.scales_in(source)
    spec = layout.infer(source.shapes, scales)
    require_declared(source, spec)
    return spec


def _tokenizer_spec(source: WeightsFile, layout: Layout, scales: Scales | None) -> Any:
    """``scales`` is the schedule of the transformer that it is to work with."""
    declared = declared_scales(source)
    if declared is not None and scales is not None and declared != scales:
        raise LayoutError(f"expected a {layout.kind} of the scales {scales}, found {declared}")
    require_kind(layout, source.shapes)
    spec = layout.infer(source.shapes, declared or scales)
    require_declared(source, spec)
    return spec


def _require_pair(
    partner: WeightsFile, vqvae: TokenizerSpec, own: WeightsFile, var: TransformerSpec
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


def _build(
    source: WeightsFile,
    layout: Layout,
    spec: Spec,
    device: torch.device,
    dtype: torch.dtype,
    attention: Attention | None = None,
) -> nn.Module:
    """The network of a file; ``attention`` None picks by device."""
    layout.require(spec, source.shapes)
    network = layout.skeleton(spec, attention or choose_attention(device))
    made = layout.made(network, spec, dtype)
    layout.check(source, spec, made)
    _fill(network, source, made, device, dtype)
    return network


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
