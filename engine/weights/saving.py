"""Networks into files of our own format, each file whole or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from engine.errors import CheckpointError
from engine.model.var.transformer import VAR
from engine.model.var.vqvae import VQVAE
from engine.picture.saving import write_whole
from engine.weights.download import record
from engine.weights.file import StrPath
from engine.weights.metadata import (
    FORMAT,
    VERSION,
)

VQVAE_FILE = "vqvae.safetensors"
VAR_FILE = "var.safetensors"
# Kept in float32 whatever the precision asked for: the quantizer and what feeds it, because a
# rounded codebook or feature picks other tokens, and what is small and added up in float32 anyway,
# where rounding would save nothing.
EXACT = ("quantize.", "quant_conv.", "encoder.linear.")
FLOAT32 = (
    *EXACT, "pos_start", "pos_1LC", "lvl_embed.", "word_embed", "known_embed", "mask_embed."
)  # fmt: skip
FLOAT32_ENDS = ("scale_mul_1H11", "ada_gss")


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
        common["codebook"] = codebook_name(vqvae)
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


def precision_of(name: str, dtype: torch.dtype) -> torch.dtype:
    exact = name.startswith(FLOAT32) or name.endswith(FLOAT32_ENDS)
    return torch.float32 if exact else dtype


def _write(path: Path, network: VQVAE | VAR, metadata: dict[str, str]) -> None:
    """Whole or not at all, and its SHA-256 beside it."""
    tensors = {name: _stored(name, value) for name, value in network.state_dict().items()}
    metadata = {**metadata, "spec": json.dumps(asdict(network.spec))}
    data = save(tensors, metadata)
    write_whole(path, data)
    record(path, hashlib.sha256(data).hexdigest())


def _stored(name: str, tensor: Tensor) -> Tensor:
    """A tensor as our format keeps it: half precision, except where that would change results."""
    tensor = tensor.detach().cpu().contiguous()
    if not tensor.is_floating_point() or name.startswith(EXACT):
        return tensor.clone()
    half = tensor.to(torch.float16, copy=True)
    fits = bool(half.isfinite().all()) or not bool(tensor.isfinite().all())
    return half if fits else tensor.clone()


def codebook_name(vqvae: VQVAE) -> str:
    """A short name for a codebook, the same on every machine."""
    codebook = vqvae.quantize.embedding.weight.detach().float().cpu().contiguous()
    return hashlib.sha256(codebook.numpy().tobytes()).hexdigest()[:16]
