"""Numbers of the authors' implementations against ours, family by family, on any device."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from engine.benchmark import parity_code, parity_hmar, parity_var
from engine.benchmark.fixtures import Row, Stored
from engine.errors import CheckpointError

FAMILIES = {
    "var": parity_var.compare,
    "code": parity_code.compare,
    "hmar": parity_hmar.compare,
}


@torch.inference_mode()
def compare(
    path: Path, device: torch.device | str = "cpu", *, everywhere: bool = True
) -> Iterator[Row]:
    """A row for each quantity of a fixture's file.

    ``everywhere`` also compares what is sampled at kept positions, which editing never needs.
    """
    stored = Stored.read(path, device)
    if stored.family not in FAMILIES:
        raise CheckpointError(
            f"{path}: expected numbers of {', '.join(FAMILIES)}, found those of {stored.family}"
        )
    yield from FAMILIES[stored.family](stored, everywhere=everywhere)
