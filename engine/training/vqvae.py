"""Train the multi-scale VQVAE (Tian et al. 2024, section 3.2) on a CPU or on GPUs.

    python -m engine.training.vqvae data/stickers --minutes 40
    torchrun --nproc-per-node 8 -m engine.training.vqvae DATA --steps 50000

The same command resumes a run. Training starts from principal components instead of noise: a
linear path beside both towers holds the PCA of the patches, the towers' last convolutions are
zero, and the codebook comes from k-means of what each scale leaves over. That start reconstructs
better than hours of training from random weights on a small machine.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, TypeVar

import torch
import typer
from torch import Tensor, nn

from engine import CheckpointError, RequestError
from engine.model.spec import SCALES_DOUBLING, VQVAESpec
from engine.model.var.autoencoder import channels_last
from engine.model.var.vqvae import VQVAE
from engine.training.batches import batches
from engine.training.critic import Critic
from engine.training.data import open_pictures
from engine.training.linear_start import linear_start
from engine.training.redraw import Redrawer, open_transformer
from engine.training.run import (
    Budget,
    Ema,
    Log,
    Processes,
    interruptible,
    load_checkpoint,
    processes,
    told_when_full,
)
from engine.training.trainer import Trainer
from engine.training.vqvae_objective import Objective, VQVAEOptions, features_of, psnr
from engine.weights.checkpoint import load_vqvae

BUNDLED_SPEC = VQVAESpec(
    scales=SCALES_DOUBLING,
    codebook_size=4096,
    latent_channels=32,
    width=64,
    multipliers=(1, 2, 4),
    blocks_per_level=1,
    stem=4,
    linear_skip=True,
)
EXAMINED = 8  # held-out pictures at once

S = TypeVar("S")  # a spec
N = TypeVar("N", bound=nn.Module)


# --- the linear start -------------------------------------------------------------------------


# --- the codebook in use ----------------------------------------------------------------------


class Codes:
    """Keeps account of the codebook: usage by scale, and codes that nobody uses any more."""

    def __init__(self, vqvae: VQVAE, options: VQVAEOptions, group: Processes):
        self.quantizer, self.options, self.group = vqvae.quantize, options, group
        self.idle = torch.zeros(
            vqvae.spec.codebook_size, dtype=torch.int64, device=group.device
        )  # steps since each code's last hit

    def count(self, hits: Tensor) -> None:
        """Note the hits (K, V) of one step."""
        hits = self.group.sum(hits)
        self.quantizer.ema_vocab_hit_SV.lerp_(hits.float(), 0.01)
        self.idle = torch.where(hits.sum(0) > 0, torch.zeros_like(self.idle), self.idle + 1)

    def usage(self) -> float:
        """Share of the codes that were hit within `revive_after` steps."""
        return float((self.idle < self.options.revive_after).float().mean())

    @torch.no_grad()
    def revive(self, rest: Tensor, optimizer: torch.optim.Optimizer, ema: Ema, step: int) -> int:
        """Move dead codes to vectors (N, z) of this step that were to be quantised."""
        dead = (self.idle >= self.options.revive_after).nonzero().flatten()
        if len(dead) == 0:
            return 0
        generator = torch.Generator().manual_seed(self.options.seed * 1_000_003 + step)
        chosen = torch.randint(len(rest), (len(dead),), generator=generator).to(rest.device)
        fresh = self.group.from_first(rest[chosen].contiguous())
        weight = self.quantizer.embedding.weight
        weight[dead] = fresh
        for live, average in zip(ema.live, ema.average, strict=True):
            if live is weight:
                average[dead] = fresh
        for moment in ("exp_avg", "exp_avg_sq"):
            if moment in optimizer.state[weight]:
                optimizer.state[weight][moment][dead] = 0
        self.idle[dead] = 0
        return len(dead)


# --- the trainer ------------------------------------------------------------------------------


class VQVAETrainer(Trainer):
    title = "vqvae"
    objective: Objective

    def __init__(
        self, data: Path, spec: VQVAESpec, out: Path, budget: Budget, options: VQVAEOptions,
        group: Processes, start: VQVAE | None = None, transformer: Path | None = None,
    ):  # fmt: skip
        super().__init__(out, budget, options, group)
        if options.joint and transformer is not None:
            raise RequestError("redrawing needs codes that stay; train the decoder alone")
        self.options, self.spec = options, spec
        pictures = open_pictures(data, side=spec.side, split="train", seed=options.seed)
        self.validation = open_pictures(data, side=spec.side, split="val", seed=options.seed)
        vqvae = VQVAE(spec)
        if start is not None:
            vqvae.load_state_dict(start.state_dict())
        elif not self.resumes:
            shown, _ = next(batches(pictures, options.start_pictures))
            linear_start(vqvae, shown, options.seed)
        for index, phi in enumerate(vqvae.quantize.quant_resi.qresi_ls):
            phi.requires_grad_(index in vqvae.quantize.quant_resi.pick)
        if not options.joint:
            for part in (vqvae.encoder, vqvae.quant_conv, vqvae.quantize):
                part.requires_grad_(False)
        channels_last(vqvae)
        self.network = self.vqvae = vqvae.to(group.device)
        self.objective = Objective(vqvae, options, bf16=self.bf16)
        self.codes = Codes(vqvae, options, group)
        self.rest = torch.empty(0)
        self.critic = Critic(group, bf16=self.bf16) if options.adversarial else None
        self.begin()
        self.redrawers: tuple[Redrawer, Redrawer] | None = None  # of training, of validation
        if transformer is not None:  # after the codes it is to draw have been loaded
            var = open_transformer(transformer, self.vqvae, pictures)
            self.redrawers = (
                Redrawer(var, self.vqvae, pictures, seed=options.seed),
                Redrawer(var, self.vqvae, self.validation, seed=options.seed),
            )
        self.stream = batches(
            pictures,
            options.batch,
            first_step=self.step,
            rank=group.rank,
            world=group.world,
            workers=options.workers,
        )

    def on_device(self, pictures: Tensor) -> Tensor:
        return pictures.to(self.group.device, memory_format=torch.channels_last)

    def redrawn(self, pictures: Tensor) -> Tensor | None:
        """Feature maps to decode in place of the first pictures' own, if a transformer is given."""
        count = math.ceil(self.options.redrawn * len(pictures))
        if self.redrawers is None or not count:
            return None
        group, batch = self.group, self.options.batch
        first = (self.step * group.world + group.rank) * batch
        features = features_of(self.vqvae, pictures[:count], bf16=self.objective.bf16).detach()
        return self.redrawers[0](first, range(first, first + count), features)[0]

    def backward(self, objective: nn.Module, progress: float) -> dict[str, float]:
        options, pictures = self.options, self.on_device(next(self.stream)[0])
        loss, parts, hits, self.rest, decoded = objective(pictures, self.redrawn(pictures))
        numbers = {name: float(part) for name, part in parts.items()}
        critic = self.critic if progress >= options.adversarial_from else None
        if critic is not None:
            last = self.vqvae.decoder.conv_out.weight
            loss = loss + options.adversarial * critic.fooled(decoded, loss, last)
        loss.backward()
        if critic is not None:
            numbers["critic"] = critic.learn(pictures, decoded)
        self.codes.count(hits)
        return {"loss": float(loss.detach()), **numbers, "psnr": psnr(numbers["l2"])}

    def after_update(self) -> dict[str, float]:
        revived = 0
        if self.options.joint:
            revived = self.codes.revive(self.rest, self.optimizer, self.ema, self.step)
        return {"usage": self.codes.usage(), "revived": float(revived)}

    def examined(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The held-out pictures (EXAMINED, 3, H, W) with their features, batch by batch."""
        count = max(self.options.held_out // EXAMINED, 1)
        for pictures, _ in islice(batches(self.validation, EXAMINED), count):
            pictures = self.on_device(pictures)
            yield pictures, features_of(self.vqvae, pictures, bf16=self.objective.bf16)

    def evaluate(self, log: Log) -> float:
        """Held-out reconstruction; a sheet of pictures, their reconstructions, and the same from
        features that were not quantised. With a transformer also what it redraws."""
        square, total = 0.0, 0
        shown: list[Tensor] = []
        for pictures, features in self.examined():
            _, feature_map = self.vqvae.quantize.encode(features)
            with self.objective.autocast(pictures):
                decoded = self.vqvae.decode(feature_map)
                if not shown:
                    shown = [pictures, decoded, self.vqvae.decode(features)]
            square += float((decoded.float() - pictures).square().mean()) * len(pictures)
            total += len(pictures)
        decibels = psnr(square / total)
        numbers = {"val/psnr": decibels, "val/usage": self.codes.usage()}
        if self.redrawers is not None:
            numbers["val/redrawn"], pictures = self.evaluate_redrawn(self.redrawers[1])
            shown.append(pictures)
        log.numbers(self.step, numbers)
        log.pictures(self.step, "reconstruction", shown)
        return -decibels

    def evaluate_redrawn(self, redrawer: Redrawer) -> tuple[float, Tensor]:
        """Decibels inside what is redrawn of held-out pictures; the first of them, decoded."""
        square, total = 0.0, 0
        shown: list[Tensor] = []
        for number, (pictures, features) in enumerate(self.examined()):
            numbers = range(number * EXAMINED, number * EXAMINED + len(pictures))
            feature_map, hole = redrawer(number, numbers, features)
            with self.objective.autocast(pictures):
                decoded = self.vqvae.decode(feature_map)
            shown.append(decoded)
            times = pictures.shape[-1] // hole.shape[-1]
            inside = hole.repeat_interleave(times, 0).repeat_interleave(times, 1).to(decoded.device)
            error = (decoded.float() - pictures).square()[..., inside]
            square, total = square + float(error.sum()), total + error.numel()
        return psnr(square / total), shown[0]

    def extra_state(self) -> dict[str, Any]:
        critic = {} if self.critic is None else {"critic": self.critic.state_dict()}
        return {"spec": asdict(self.spec), "idle": self.codes.idle, **critic}

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        if saved_spec(state, self.checkpoint) != self.spec:
            raise CheckpointError(
                f"{self.checkpoint} holds another model ({state['spec']}); "
                "choose another --out or the same sizes"
            )
        self.codes.idle = state["idle"]
        if self.critic is not None and "critic" in state:
            self.critic.load_state_dict(state["critic"])


def train_vqvae(
    data: Path,
    out: Path,
    *,
    spec: VQVAESpec = BUNDLED_SPEC,
    budget: Budget,
    options: VQVAEOptions | None = None,
    start: Path | None = None,
    transformer: Path | None = None,
) -> VQVAE:
    """Train, or go on training, in the folder `out`; returns the network with averaged weights.

    ``start`` is a VQVAE whose shape and weights a new run begins with. ``transformer`` is the file
    of one that was trained on its codes: the decoder then also learns from what that draws.
    """
    with processes() as group, interruptible() as caught, told_when_full(out):
        begun = None if start is None else load_trained_vqvae(start)
        trainer = VQVAETrainer(
            data, spec if begun is None else begun.spec, out, budget, options or VQVAEOptions(),
            group, begun, transformer,
        )  # fmt: skip
        trainer.run(caught)
        trainer.ema.keep()
    return trainer.vqvae


def saved_spec(state: Mapping[str, Any], path: Path) -> VQVAESpec:
    """The spec that a training checkpoint was written with."""
    return spec_of(VQVAESpec, state, path, "train-vqvae")


def spec_of(kind: type[S], state: Mapping[str, Any], path: Path, trainer: str) -> S:
    """The spec in a ``trainer``'s checkpoint; CheckpointError where it is not one."""
    try:
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in state["spec"].items()
        }
        return kind(**fields)
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is not a checkpoint of {trainer}: {error}") from error


def averaged(network: N, state: Mapping[str, Any], device: torch.device | None) -> N:
    """A network with the averaged weights of a training checkpoint; frozen."""
    network.load_state_dict(state["network"])
    network.load_state_dict(state["ema"], strict=False)  # averages of what was trained
    channels_last(network)
    return network.to(device or torch.device("cpu")).eval().requires_grad_(False)


def load_trained_vqvae(path: Path, device: torch.device | None = None) -> VQVAE:
    """The VQVAE of a training checkpoint, with averaged weights, or of a model file; frozen.

    A folder stands for the checkpoint in it. CheckpointError says what to do where there is none.
    """
    path = path / "checkpoint.pt" if path.is_dir() else path
    if not path.exists():
        raise CheckpointError(
            f"there is no VQVAE at {path}; train one with train-vqvae, or give the path of another"
        )
    if path.suffix == ".safetensors":
        exported = load_vqvae(path, device=device or "cpu")
        channels_last(exported)
        return exported
    state = load_checkpoint(path, device or torch.device("cpu"))
    return averaged(VQVAE(saved_spec(state, path)), state, device)


def main(
    data: Annotated[Path, typer.Argument(help="The sticker set, or pictures by class.")],
    out: Annotated[Path, typer.Option(help="The run's folder; resumed if it exists.")] = Path(
        "runs/vqvae"
    ),
    minutes: Annotated[float | None, typer.Option(help="Stop after so many minutes.")] = None,
    steps: Annotated[int | None, typer.Option(help="Stop after so many steps.")] = None,
    batch: int = VQVAEOptions.batch,
    rate: float = VQVAEOptions.rate,
    workers: int = VQVAEOptions.workers,
    seed: int = VQVAEOptions.seed,
    adversarial: Annotated[
        float, typer.Option(help="Weight of a patch discriminator late in training; 0: none.")
    ] = VQVAEOptions.adversarial,
    start: Annotated[
        Path | None,
        typer.Option("--from", help="A VQVAE to go on from: a checkpoint or a model's file."),
    ] = None,
    transformer: Annotated[
        Path | None,
        typer.Option("--redraw", help="A transformer's file: the decoder learns from its drawing."),
    ] = None,
) -> None:
    """Train the VQVAE; the same command resumes it."""
    train_vqvae(
        data,
        out,
        budget=Budget(steps=steps, minutes=minutes),
        options=VQVAEOptions(
            batch=batch, rate=rate, workers=workers, seed=seed, adversarial=adversarial
        ),
        start=start,
        transformer=transformer,
    )


if __name__ == "__main__":
    typer.run(main)
