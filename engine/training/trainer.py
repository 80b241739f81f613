"""The loop that both trainers share: budget, learning rate, EMA, checkpoints, early stop, logs."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from engine.training.run import (
    Budget,
    Ema,
    Log,
    Plateau,
    Processes,
    Stopwatch,
    cosine_rate,
    half_precision,
    load_checkpoint,
    save_checkpoint,
)


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """What both recipes have in common; each trainer has its own defaults and additions."""

    batch: int = 16  # pictures a step, of each process
    rate: float = 4e-4  # peak learning rate
    warmup: int = 100  # steps
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.99)
    ema: float = 0.995
    clip: float = 1.0  # norm of the gradient
    bf16: bool | None = None  # None: where the machine has it
    seed: int = 0
    processor: bool = False  # minutes are those of the processor, not of the clock
    workers: int = 0  # processes that load pictures
    evaluate_every: int = 250  # steps
    held_out: int = 64  # validation pictures
    checkpoint_minutes: float = 3.0
    patience: int = 0  # evaluations without improvement until an early stop; 0: never


class Trainer(ABC):
    """One run in the folder `out`. A subclass sets up `network` and `objective`, then `begin`s."""

    title: str
    network: nn.Module  # what is trained, averaged and saved
    objective: nn.Module  # network -> loss; what DistributedDataParallel wraps

    def __init__(self, out: Path, budget: Budget, options: TrainOptions, group: Processes):
        self.out, self.budget, self.base_options, self.group = out, budget, options, group
        self.checkpoint = out / "checkpoint.pt"
        self.plateau = Plateau(options.patience)
        self.step, self.seconds = 0, 0.0
        torch.manual_seed(options.seed)

    # what a subclass says

    @abstractmethod
    def backward(self, objective: nn.Module, progress: float) -> dict[str, float]:
        """Accumulate the gradients of step `self.step`; returns numbers, "loss" among them."""

    def after_update(self) -> dict[str, float]:
        """What is to be done after the weights have changed; more numbers."""
        return {}

    @abstractmethod
    def evaluate(self, log: Log) -> float:
        """Log the held-out numbers and a sheet of pictures; returns what should fall."""

    @abstractmethod
    def extra_state(self) -> dict[str, Any]:
        """What a checkpoint holds beside weights, optimizer, EMA and step."""

    @abstractmethod
    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        """Take it back; raises CheckpointError if the checkpoint is another model's."""

    # what it gets

    @property
    def bf16(self) -> bool:
        chosen = self.base_options.bf16
        return half_precision(self.group.device) if chosen is None else chosen

    @property
    def resumes(self) -> bool:
        return self.checkpoint.exists()

    def begin(self) -> None:
        """Set up EMA and optimizer, and load the checkpoint if there is one."""
        options = self.base_options
        self.ema = Ema(self.network, options.ema)
        self.optimizer = torch.optim.AdamW(
            parameter_groups(self.network, options.weight_decay),
            lr=options.rate,
            betas=options.betas,
            fused=True,
        )
        if not self.resumes:
            return
        state = load_checkpoint(self.checkpoint, self.group.device)
        self.load_extra_state(state)
        self.network.load_state_dict(state["network"])
        self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.plateau = Plateau(**{**state["plateau"], "patience": options.patience})
        self.step, self.seconds = state["step"], state["seconds"]

    def save(self) -> None:
        """Write the checkpoint (process 0 only)."""
        if not self.group.is_first:
            return
        state = {
            "network": self.network.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "plateau": asdict(self.plateau),
            "step": self.step,
            "seconds": self.seconds,
            **self.extra_state(),
        }
        self.out.mkdir(parents=True, exist_ok=True)
        save_checkpoint(self.checkpoint, state)

    def run(self, caught: list[int]) -> None:
        """Train until the budget is spent, a signal is `caught`, or the plateau is reached.

        All processes leave after the same step, also if only one of them caught a signal.
        """
        options = self.base_options
        clock = Stopwatch(self.seconds, processor=options.processor)
        saved = first_seconds = self.seconds
        pictures = 0
        log = Log(self.out, self.title, enabled=self.group.is_first)
        objective = self.group.wrap(self.objective)
        while not (stopped := self._any(caught)):
            progress = self._progress(clock.seconds)
            if progress >= 1:
                break
            numbers = self._train_step(objective, progress)
            self.step += 1
            self.seconds = clock.seconds
            pictures += options.batch * self.group.world
            if self.step % 10 == 0:
                numbers["pictures_per_second"] = pictures / (self.seconds - first_seconds)
                numbers["minutes"] = self.seconds / 60
                pictures, first_seconds = 0, self.seconds
                log.numbers(self.step, numbers)
                log.progress(progress, self.seconds, numbers)
            if self.step % options.evaluate_every == 0:
                if self.plateau.stops_at(self._evaluate(log)):
                    break
                first_seconds, pictures = clock.seconds, 0
            if self.seconds - saved > 60 * options.checkpoint_minutes:
                self.save()
                saved = self.seconds
        self.save()
        if not stopped:
            self._evaluate(log)
        log.close()

    def _any(self, caught: list[int]) -> bool:
        """Whether any process has caught a signal: one alone would leave the others waiting."""
        flag = torch.tensor(float(bool(caught)), device=self.group.device)
        return bool(self.group.sum(flag) > 0)

    def _evaluate(self, log: Log) -> float:
        """The held-out loss of process 0, in all of them: they must agree when to stop."""
        for module in (self.network, self.objective):  # the objective's own settings, too
            module.eval()
        with self.ema.applied(), torch.no_grad():
            loss = self.evaluate(log)
        for module in (self.network, self.objective):
            module.train()
        return self._from_first(loss)

    def _progress(self, seconds: float) -> float:
        return self._from_first(self.budget.progress(self.step, seconds))

    def _from_first(self, number: float) -> float:
        exact = torch.tensor(number, dtype=torch.float64, device=self.group.device)
        return float(self.group.from_first(exact))

    def _train_step(self, objective: nn.Module, progress: float) -> dict[str, float]:
        options = self.base_options
        rate = options.rate * cosine_rate(progress, self.step, warmup=options.warmup)
        for parameters in self.optimizer.param_groups:
            parameters["lr"] = rate * parameters["share"]
        self.optimizer.zero_grad(set_to_none=True)
        numbers = self.backward(objective, progress)
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), options.clip)
        self.optimizer.step()
        self.ema.update(self.step)
        return numbers | self.after_update() | {"rate": rate, "norm": float(norm)}


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weights of convolutions and matrices decay; biases, norms and embeddings do not.

    The linear path starts at principal components, which is nearly where it should be: it learns
    at a tenth of the rate. "share" is that of the learning rate.
    """
    exempt = ("embedding", "class_emb", "lvl_embed", "mask_embed", "pos_", "scale_mul")
    decays: list[nn.Parameter] = []
    stays: list[nn.Parameter] = []
    gentle: list[nn.Parameter] = []
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        if "coder.linear." in name:
            gentle.append(parameter)
        elif parameter.ndim >= 2 and not any(part in name for part in exempt):
            decays.append(parameter)
        else:
            stays.append(parameter)
    groups: list[dict[str, Any]] = [
        {"params": decays, "weight_decay": weight_decay, "share": 1.0},
        {"params": stays, "weight_decay": 0.0, "share": 1.0},
        {"params": gentle, "weight_decay": 0.0, "share": 0.1},
    ]
    return [group for group in groups if group["params"]]
