"""What both trainers share: processes, schedule, EMA, checkpoints and logs.

A run is a folder:

    checkpoint.pt     everything needed to go on: weights, optimizer, EMA, step, time spent
    samples/*.png     pictures made on the way
    events.out.*      curves for TensorBoard
    log.jsonl         the same numbers, one object a line

Batches, label drops and revived codes are keyed by the step, so a run that stops and resumes ends
with the same bits as one that does not (unless its schedule follows the clock).
"""

import json
import math
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from engine import CheckpointError, RequestError
from engine.picture.saving import whole, write_whole


@dataclass(frozen=True)
class Processes:
    """Who we are among the processes that train together; one alone unless torchrun started us."""

    rank: int
    world: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def sum(self, value: Tensor) -> Tensor:
        """The sum of `value` over all processes."""
        if self.world > 1:
            dist.all_reduce(value)
        return value

    def from_first(self, value: Tensor) -> Tensor:
        """The first process's `value`, in all of them."""
        if self.world > 1:
            dist.broadcast(value, 0)
        return value

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module with its gradients averaged over all processes."""
        return DistributedDataParallel(module) if self.world > 1 else module


@contextmanager
def processes() -> Iterator[Processes]:
    """Join the group that torchrun describes in the environment, and leave it at the end."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if cuda else None
    if device is not None:
        torch.cuda.set_device(device)
    if world > 1:
        dist.init_process_group("nccl" if cuda else "gloo")
    try:
        rank = dist.get_rank() if world > 1 else 0
        yield Processes(rank, world, device or torch.device("cpu"))
    finally:
        if world > 1:
            dist.destroy_process_group()


def half_precision(device: torch.device) -> bool:
    """Whether bfloat16 is fast here: CUDA from Ampere on, CPUs with AVX512-BF16 or AMX."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if not torch.backends.mkldnn.is_available():
        return False
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How long to train; the learning rate reaches its end when the budget does.

    By steps a run is repeatable to the bit; by minutes it ends on time.
    """

    steps: int | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        if self.steps is None and self.minutes is None:
            raise RequestError("no training budget: give --steps or --minutes")

    def progress(self, step: int, seconds: float) -> float:
        """0 at the start, 1 when either limit is reached."""
        by_steps = step / max(self.steps, 1) if self.steps is not None else 0.0
        by_clock = seconds / max(60 * self.minutes, 1e-9) if self.minutes is not None else 0.0
        return min(max(by_steps, by_clock), 1.0)


def cosine_rate(progress: float, step: int, *, warmup: int, floor: float = 0.02) -> float:
    """Share of the peak learning rate: linear warm-up by steps, cosine down to `floor`."""
    return min((step + 1) / warmup, 1.0) * (
        floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))
    )


class Ema:
    """A moving average of the parameters in training, which is what is saved and sampled from."""

    def __init__(self, module: nn.Module, decay: float):
        self.decay = decay
        trained = [(name, each) for name, each in module.named_parameters() if each.requires_grad]
        self.names = [name for name, _ in trained]
        self.live: list[Tensor] = [parameter for _, parameter in trained]
        self.average = [parameter.detach().clone() for parameter in self.live]

    @torch.no_grad()
    def update(self, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))  # short memory at first
        torch._foreach_lerp_(self.average, self.live, 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The averaged weights in place of the live ones."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def keep(self) -> None:
        """Make the averaged weights the live ones, at the end of a run."""
        for live, average in zip(self.live, self.average, strict=True):
            live.copy_(average)

    @torch.no_grad()
    def _swap(self) -> None:
        for live, average in zip(self.live, self.average, strict=True):
            kept = live.detach().clone()
            live.copy_(average)
            average.copy_(kept)

    def state_dict(self) -> dict[str, Tensor]:
        return dict(zip(self.names, self.average, strict=True))

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        for name, average in self.state_dict().items():
            average.copy_(state[name])


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write whole or not at all: a run killed while saving keeps its previous checkpoint.

    RequestError if it cannot be written, such as on a full disk.
    """
    try:
        with whole(path) as file:
            torch.save(dict(state), file)
    except (OSError, RuntimeError) as error:  # torch's writer: "unexpected pos"
        reason = getattr(error, "strerror", None) or "the disk may be full"
        raise RequestError(
            f"{path}: the checkpoint cannot be written ({reason.lower()}); make room, the one "
            "before it is still there"
        ) from None


def load_checkpoint(path: Path, device: torch.device) -> dict[str, Any]:
    """A training checkpoint; nothing in it is executed."""
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # zip, pickle and I/O errors all mean the same here
        raise CheckpointError(f"cannot resume from {path}: {error}") from error
    return state


@dataclass
class Plateau:
    """Early stop: whether the validation loss has stopped falling."""

    patience: int  # evaluations without a new best; 0 never stops
    best: float = math.inf
    waited: int = 0

    def stops_at(self, loss: float) -> bool:
        if loss < self.best:
            self.best, self.waited = loss, 0
        else:
            self.waited += 1
        return bool(self.patience) and self.waited >= self.patience


class Stopwatch:
    """Seconds of training, those before an interruption included; with ``processor`` those that the
    processor worked for it, for a machine that does other things beside."""

    def __init__(self, seconds: float, *, processor: bool = False):
        self.now = time.process_time if processor else time.monotonic
        self.before, self.start = seconds, self.now()

    @property
    def seconds(self) -> float:
        return self.before + self.now() - self.start


@contextmanager
def told_when_full(out: Path) -> Iterator[None]:
    """RequestError where the run's own files, such as its log, cannot be written.

    TensorBoard writes in a thread of its own, which would print a traceback before it tells us.
    """
    before = threading.excepthook

    def other_than_full(what: threading.ExceptHookArgs) -> None:
        if not issubclass(what.exc_type, OSError):
            before(what)

    threading.excepthook = other_than_full
    try:
        yield
    except OSError as error:
        raise RequestError(
            f"{out}: the run cannot be written ({(error.strerror or str(error)).lower()}); make "
            "room and run the command again, it goes on from its last checkpoint"
        ) from None
    finally:
        threading.excepthook = before


@contextmanager
def interruptible() -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM, so that a run can save itself and end."""
    caught: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        caught.append(number)

    signals = (signal.SIGINT, signal.SIGTERM)
    try:
        previous = {number: signal.signal(number, note) for number in signals}
    except ValueError:  # not the main thread: whoever started us handles signals
        yield caught
        return
    try:
        yield caught
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class Log:
    """Numbers to TensorBoard, to `log.jsonl` and to the progress bar; silent but in process 0."""

    def __init__(self, folder: Path, title: str, *, enabled: bool = True):
        self.enabled = enabled
        self.folder = folder
        if enabled:
            from torch.utils.tensorboard import SummaryWriter  # slow to import

            (folder / "samples").mkdir(parents=True, exist_ok=True)
            self.writer = SummaryWriter(folder)
        self.bar = tqdm(
            total=100, desc=title, disable=not enabled, unit="%", mininterval=5,
            bar_format="{desc} {percentage:3.0f}%|{bar:12}| {elapsed} {postfix}",
        )  # fmt: skip

    def numbers(self, step: int, values: Mapping[str, float]) -> None:
        if not self.enabled:
            return
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)
        with (self.folder / "log.jsonl").open("a") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")

    def progress(self, progress: float, seconds: float, numbers: Mapping[str, float]) -> None:
        """Show loss, throughput and the time left."""
        if not self.enabled:
            return
        digits = {"loss": 4, "psnr": 1, "pictures_per_second": 1}
        shown = {
            name.replace("_per_", "/"): f"{numbers[name]:.{places}f}"
            for name, places in digits.items()
            if name in numbers
        }
        self.bar.n = round(100 * progress)
        left = seconds * (1 - progress) / progress if progress > 0 else 0.0
        self.bar.set_postfix_str(
            " ".join(f"{name} {value}" for name, value in shown.items())
            + f" left {left / 60:.0f} min"
        )

    def pictures(self, step: int, name: str, rows: list[Tensor]) -> None:
        """Rows of pictures (B, 3, H, W) in [-1, 1], as one sheet."""
        if not self.enabled:
            return
        sheet = torch.cat([torch.cat(list(row.float().cpu()), dim=2) for row in rows], dim=1)
        pixels = ((sheet.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
        _, data = cv2.imencode(".png", np.ascontiguousarray(pixels[..., ::-1]))
        write_whole(self.folder / "samples" / f"{name}-{step:06d}.png", data.tobytes())

    def close(self) -> None:
        self.bar.close()
        if self.enabled:
            self.writer.close()
