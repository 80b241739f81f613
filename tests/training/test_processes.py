"""Two processes that train together over gloo end where one process with their batches does."""

import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch import multiprocessing as mp

from engine.training.run import Budget
from engine.training.var import VAROptions, train_var
from engine.training.vqvae import VQVAEOptions, train_vqvae

from .conftest import TINY

VQVAE = VQVAEOptions(
    batch=4, start_pictures=40, held_out=8, evaluate_every=1000, revive_after=1000, joint=True,
    bf16=False,
)  # fmt: skip
VAR = VAROptions(
    depth=1, width=64, batch=4, warmup=2, held_out=8, evaluate_every=1000, tokens_at_once=60,
    bf16=False,
)  # fmt: skip
FOUR = Budget(steps=4)


def train(name: str, data: Path, out: Path, world: int) -> None:
    """A few steps of a trainer, each process with its share of the batch."""
    each = 4 // world
    if name == "vqvae":
        options = replace(VQVAE, batch=each)
        train_vqvae(data, out / "vqvae", spec=TINY, budget=FOUR, options=options)
    else:
        start = out.parent / "start/vqvae/checkpoint.pt"
        options_var = replace(VAR, batch=each)
        train_var(data, out / "var", vqvae=start, budget=FOUR, options=options_var)


def one_of_two(rank: int, data: Path, out: Path, ports: dict[str, int]) -> None:
    """What torchrun would start."""
    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1")
    for name, port in ports.items():
        os.environ["MASTER_PORT"] = str(port)
        train(name, data, out, 2)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def weights(folder: Path) -> dict[str, Tensor]:
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    return dict(state["ema"])


@pytest.mark.slow
def test_two_processes_train_as_one(picture_folder: Path, tmp_path: Path) -> None:
    start = replace(VQVAE, joint=False)
    train_vqvae(
        picture_folder, tmp_path / "start/vqvae", spec=TINY, budget=Budget(steps=1), options=start
    )
    ports = {name: free_port() for name in ("vqvae", "var")}
    for name in ports:
        train(name, picture_folder, tmp_path / "one", 1)
    mp.spawn(one_of_two, args=(picture_folder, tmp_path / "two", ports), nprocs=2)
    for name in ports:
        one, two = weights(tmp_path / "one" / name), weights(tmp_path / "two" / name)
        for key, tensor in one.items():
            torch.testing.assert_close(two[key], tensor, atol=2e-3, rtol=2e-2, msg=f"{name} {key}")
