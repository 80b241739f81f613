"""Numbers of the authors' implementations against ours, in float32 on any device, family by family.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import safe_open

from engine.benchmark.fixture import Fixture, Row
from engine.benchmark.parity_code import CoDeFixture
from engine.benchmark.parity_flexvar import FlexVARFixture
from engine.benchmark.parity_hmar import HMARFixture
from engine.benchmark.parity_var import VARFixture
from engine.errors import CheckpointError

FAMILIES: dict[str, type[Fixture]] = {
    "var": VARFixture, "code": CoDeFixture, "flexvar": FlexVARFixture, "hmar": HMARFixture,
}  # fmt: skip


def read(path: Path, device: torch.device | str = "cpu") -> Fixture:
    """A fixture file, on a device. Raises CheckpointError for one of a family unknown here."""
    with safe_open(path, "pt") as file:
        config = json.loads(file.metadata()["config"])
        expected = {key: file.get_tensor(key).to(device) for key in file.keys()}  # noqa: SIM118
    family = config.get("family", "var")
    if family not in FAMILIES:
        raise CheckpointError(
            f"{path}: expected a fixture of {', '.join(FAMILIES)}, found one of {family}"
        )
    return FAMILIES[family].of(config, expected, torch.device(device))


def compare(fixture: Fixture, *, everywhere: bool = True) -> Iterator[Row]:
    """Yield (quantity, difference, tolerance); for token ids the number that differ, of 0."""
    return fixture.compare(everywhere=everywhere)
