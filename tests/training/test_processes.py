"""Two processes that train together over gloo end where one process with their batches does."""

import os
import signal
import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch import multiprocessing as mp

from engine.training.run import Budget, Log, interruptible, processes
from engine.training.var import train_var
from engine.training.var_objective import VAROptions
from engine.training.vqvae import VQVAETrainer, train_vqvae
from engine.training.vqvae_objective import VQVAEOptions

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
    for name, port in ports.items():
        join(rank, port)
        train(name, data, out, 2)


def join(rank: int, port: int) -> None:
    """The environment that torchrun would make."""
    torch.set_num_threads(1)
    os.environ.update(
        RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)
    )


class Terminated(VQVAETrainer):
    """The second process gets a SIGTERM in its third step."""

    def after_update(self) -> dict[str, float]:
        if self.step == 2 and not self.group.is_first:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().after_update()


class Disagreeing(VQVAETrainer):
    """The second process finds that nothing gets better any more, the first does not."""

    def evaluate(self, log: Log) -> float:
        super().evaluate(log)
        return float(-min(self.step, 3)) if self.group.is_first else 0.0


STOPPED_AFTER = {Terminated: 3, Disagreeing: 4}  # steps


def stops(rank: int, data: Path, out: Path, ports: list[int]) -> None:
    options = replace(VQVAE, evaluate_every=1, patience=1)
    for trainer, port in zip(STOPPED_AFTER, ports, strict=True):
        join(rank, port)
        with processes() as group, interruptible() as caught:
            run = trainer(data, TINY, out / trainer.__name__, Budget(steps=50), options, group)
            run.run(caught)


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


@pytest.mark.slow
def test_two_processes_stop_after_the_same_step(picture_folder: Path, tmp_path: Path) -> None:
    """At a signal to one of them, and at a plateau, which the first decides on."""
    ports = [free_port() for _ in STOPPED_AFTER]
    both = mp.spawn(stops, args=(picture_folder, tmp_path, ports), nprocs=2, join=False)
    try:
        end = time.monotonic() + 240
        while not both.join(timeout=5):  # raises what a process raised
            assert time.monotonic() < end, "a process waits for the other"
    finally:
        for process in both.processes:
            process.kill()
    assert [process.exitcode for process in both.processes] == [0, 0]
    for trainer, steps in STOPPED_AFTER.items():
        checkpoint = torch.load(tmp_path / trainer.__name__ / "checkpoint.pt", weights_only=True)
        assert checkpoint["step"] == steps
