"""Train a small tokenizer of FlexVAR's kind (Jiao et al. 2025): each scale's codes are the picture.

    python -m engine.training.flexvae data/photos --minutes 12

The same command resumes a run. It starts from a VQVAE of ours: its features are that one's
principal components and a constant, which keeps their length when a vector is brought to length 1;
its codes are k-means of such vectors. Encoder and codes stay as they start, what learns is the
decoder, which begins as the VQVAE's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, cast

import torch
import typer
from torch import Tensor, nn
from torch.nn import functional as F

from engine import CheckpointError
from engine.draw.keeping import tokens
from engine.model.flexvar.autoencoder import FlexVAE
from engine.model.flexvar.spec import FlexVAESpec
from engine.model.spec import VQVAESpec
from engine.model.var.autoencoder import channels_last
from engine.model.var.vqvae import VQVAE
from engine.training.batches import batches
from engine.training.data import open_pictures
from engine.training.linear_start import k_means
from engine.training.run import (
    Budget,
    Log,
    Processes,
    interruptible,
    load_checkpoint,
    processes,
    told_when_full,
)
from engine.training.trainer import Trainer, TrainOptions
from engine.training.vqvae import EXAMINED, averaged, load_trained_vqvae, spec_of
from engine.training.vqvae_objective import pixel_losses, psnr

CONSTANT = 2.0  # the constant channel, in root mean square lengths of the other features
SMALLER = 0.3  # share of the steps at which a scale other than the finest is decoded
SMALLEST = 4  # side of the coarsest of these
COARSE = 0.1  # share of the vectors that the codes are made of which are not of the finest scale
VECTORS = 24  # of these for each code


@dataclass(frozen=True, kw_only=True)
class FlexVAEOptions(TrainOptions):
    """The recipe."""

    batch: int = 4
    rate: float = 8e-4
    evaluate_every: int = 500
    l2: float = 0.5  # weights of the losses, beside L1 = 1
    gradient: float = 2.0
    plain: float = 0.0  # share of pictures that are photos as they are
    start_pictures: int = 1000  # for the codes


def spec_for(vqvae: VQVAESpec) -> FlexVAESpec:
    """A tokenizer of the same size."""
    return FlexVAESpec(
        scales=vqvae.scales,
        codebook_size=vqvae.codebook_size,
        latent_channels=vqvae.latent_channels,
        encoded_channels=vqvae.latent_channels,
        width=vqvae.width,
        multipliers=vqvae.multipliers,
        blocks_per_level=vqvae.blocks_per_level,
        stem=vqvae.stem,
    )


@torch.no_grad()
def start_from(vae: FlexVAE, vqvae: VQVAE, pictures: Tensor, seed: int) -> None:
    """Give ``vae`` the features and the decoder of a VQVAE of its size, and codes for pictures
    (N, 3, H, W), see the module."""
    linear, theirs = (cast(nn.Conv2d, each.encoder.linear) for each in (vae, vqvae))
    assert linear.bias is not None and vae.post_quant_conv.bias is not None
    linear.load_state_dict(theirs.state_dict())
    features = torch.cat([linear(some) for some in pictures.split(50)])  # (N, z, S, S)
    length = features[:, :-1].square().sum(1).mean().sqrt()
    linear.weight[-1] = 0
    linear.bias[-1] = CONSTANT * length
    features[:, -1] = CONSTANT * length
    nn.init.dirac_(vae.quant_conv.weight)
    nn.init.zeros_(vae.quant_conv.bias)  # type: ignore[arg-type]

    generator = torch.Generator().manual_seed(seed)
    count = VECTORS * vae.spec.codebook_size
    finest = _directions(features)
    coarse = torch.cat([
        _directions(F.adaptive_avg_pool2d(features, side))
        for side in range(1, vae.spec.scales[-1])
    ])  # fmt: skip
    points = torch.cat([
        each[torch.randint(len(each), (number,), generator=generator)]
        for each, number in ((finest, count), (coarse, round(COARSE * count)))
    ])  # fmt: skip
    vae.quantize.embedding.weight.copy_(k_means(points, vae.spec.codebook_size, generator))

    vae.decoder.load_state_dict(vqvae.decoder.state_dict())
    # What the decoder had read were features: the best linear guess of them from their direction.
    length_one = torch.cat([finest, finest.new_ones(len(finest), 1)], dim=1)
    wanted = features.permute(0, 2, 3, 1).flatten(0, 2).clone()
    wanted[:, -1] = 0
    # In float64, since LAPACK rounds by where in memory its arrays lie.
    solved = torch.linalg.lstsq(length_one.double(), wanted.double())
    back = solved.solution.T.float()  # (z, z + 1)
    before = vqvae.post_quant_conv
    vae.post_quant_conv.weight.copy_(
        torch.einsum("ozhw,zi->oihw", before.weight, back[:, :-1])
    )
    vae.post_quant_conv.bias.copy_(before.bias + before.weight.sum((2, 3)) @ back[:, -1])


def _directions(features: Tensor) -> Tensor:
    """(N, z, s, s) to rows of length 1, (N * s * s, z)."""
    return F.normalize(features.permute(0, 2, 3, 1).flatten(0, 2), dim=1)


class Objective(nn.Module):
    """The tokenizer with its training loss, as one module for DistributedDataParallel to wrap."""

    def __init__(self, vae: FlexVAE, options: FlexVAEOptions, *, bf16: bool):
        super().__init__()
        self.vae, self.options, self.bf16 = vae, options, bf16

    def decoded(self, pictures: Tensor, side: int) -> Tensor:
        """Pictures (B, 3, H, W) by way of their codes at one side, (B, 3, 16 side, 16 side)."""
        vae = self.vae.at((side,))
        with torch.no_grad():
            _, codes = tokens(vae.scheme, vae.features(pictures))
        with torch.autocast(pictures.device.type, torch.bfloat16, enabled=self.bf16):
            decoded = vae.picture(codes)
        return decoded.float()

    def forward(self, pictures: Tensor, side: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Of pictures (B, 3, H, W) by way of a scale: the loss, and its parts."""
        decoded = self.decoded(pictures, side)
        wanted = F.adaptive_avg_pool2d(pictures, decoded.shape[-1])
        parts = pixel_losses(decoded, wanted)
        loss = (
            parts["l1"] + self.options.l2 * parts["l2"] + self.options.gradient * parts["gradient"]
        )
        return loss, {name: part.detach() for name, part in parts.items()}


class FlexVAETrainer(Trainer):
    title = "flexvae"
    objective: Objective

    def __init__(
        self, data: Path, start: VQVAE, out: Path, budget: Budget, options: FlexVAEOptions,
        group: Processes,
    ):  # fmt: skip
        super().__init__(out, budget, options, group)
        self.options, self.spec = options, spec_for(start.spec)
        pictures, self.validation = (
            open_pictures(
                data, side=self.spec.side, split=split, seed=options.seed, plain=options.plain
            )
            for split in ("train", "val")
        )
        vae = FlexVAE(self.spec)
        if not self.resumes:
            shown, _ = next(batches(pictures, options.start_pictures))
            start_from(vae, start, shown, options.seed)
        for part in (vae.encoder, vae.quant_conv, vae.quantize):
            part.requires_grad_(False)
        channels_last(vae)
        self.network = self.vae = vae.to(group.device)
        self.objective = Objective(vae, options, bf16=self.bf16)
        self.begin()
        self.stream = batches(
            pictures, options.batch, first_step=self.step, rank=group.rank, world=group.world,
            workers=options.workers,
        )  # fmt: skip

    def side(self) -> int:
        """Of the scale that this step decodes."""
        generator = torch.Generator().manual_seed(self.options.seed * 1_000_003 + self.step)
        finest = self.spec.scales[-1]
        if float(torch.rand(1, generator=generator)) >= SMALLER or finest <= SMALLEST:
            return finest
        return int(torch.randint(SMALLEST, finest, (1,), generator=generator))

    def on_device(self, pictures: Tensor) -> Tensor:
        return pictures.to(self.group.device, memory_format=torch.channels_last)

    def backward(self, objective: nn.Module, progress: float) -> dict[str, float]:
        loss, parts = objective(self.on_device(next(self.stream)[0]), self.side())
        loss.backward()
        numbers = {name: float(part) for name, part in parts.items()}
        return {"loss": float(loss.detach()), **numbers, "psnr": psnr(numbers["l2"])}

    def examined(self) -> Iterator[Tensor]:
        """The held-out pictures (EXAMINED, 3, H, W), batch by batch."""
        count = max(self.options.held_out // EXAMINED, 1)
        for pictures, _ in islice(batches(self.validation, EXAMINED), count):
            yield self.on_device(pictures)

    def evaluate(self, log: Log) -> float:
        """Held-out reconstruction, and a sheet of pictures above what is decoded of them."""
        square, total = 0.0, 0
        for pictures in self.examined():
            decoded = self.objective.decoded(pictures, self.spec.scales[-1])
            square += float((decoded.clamp(-1, 1) - pictures).square().sum())
            if not total:
                log.pictures(self.step, "reconstruction", [pictures, decoded])
            total += pictures.numel()
        decibels = psnr(square / total)
        log.numbers(self.step, {"val/psnr": decibels})
        return -decibels

    def extra_state(self) -> dict[str, Any]:
        return {"spec": asdict(self.spec)}

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        if saved_spec(state, self.checkpoint) != self.spec:
            raise CheckpointError(
                f"{self.checkpoint} holds another model ({state['spec']}); choose another --out"
            )


def saved_spec(state: Mapping[str, Any], path: Path) -> FlexVAESpec:
    """The spec that a training checkpoint was written with."""
    return spec_of(FlexVAESpec, state, path, "train-flexvae")


def load_trained_flexvae(path: Path, device: torch.device | None = None) -> FlexVAE:
    """The tokenizer of a training checkpoint, with averaged weights; frozen.

    A folder stands for the checkpoint in it. CheckpointError says what to do where there is none.
    """
    path = path / "checkpoint.pt" if path.is_dir() else path
    if not path.exists():
        raise CheckpointError(
            f"there is no tokenizer at {path}; train one with python -m engine.training.flexvae"
        )
    state = load_checkpoint(path, device or torch.device("cpu"))
    return averaged(FlexVAE(saved_spec(state, path)), state, device)


def train_flexvae(
    data: Path, out: Path, *, vqvae: Path, budget: Budget, options: FlexVAEOptions | None = None
) -> FlexVAE:
    """Train, or go on training, in the folder `out`; returns the network with averaged weights."""
    with processes() as group, interruptible() as caught, told_when_full(out):
        start = load_trained_vqvae(vqvae)
        if start.encoder.linear is None:
            raise CheckpointError(f"{vqvae}: expected a VQVAE with a linear path, as ours have")
        trainer = FlexVAETrainer(data, start, out, budget, options or FlexVAEOptions(), group)
        trainer.run(caught)
        trainer.ema.keep()
    return trainer.vae


def main(
    data: Annotated[Path, typer.Argument(help="The sticker set, or pictures by class.")],
    out: Annotated[Path, typer.Option(help="The run's folder; resumed if it exists.")] = Path(
        "runs/flexvae"
    ),
    vqvae: Annotated[Path, typer.Option(help="The VQVAE to start from, with its decoder.")] = Path(
        "weights/bundled/vqvae.safetensors"
    ),
    minutes: Annotated[float | None, typer.Option(help="Stop after so many minutes.")] = None,
    steps: Annotated[int | None, typer.Option(help="Stop after so many steps.")] = None,
    batch: int = FlexVAEOptions.batch,
    rate: float = FlexVAEOptions.rate,
    seed: int = FlexVAEOptions.seed,
    plain: Annotated[
        float, typer.Option(help="Share of pictures that are the set's photos as they are.")
    ] = FlexVAEOptions.plain,
    processor: Annotated[
        bool, typer.Option("--processor", help="Minutes of the processor, not of the clock.")
    ] = False,
) -> None:
    """Train a small tokenizer of FlexVAR's kind; the same command resumes it."""
    train_flexvae(
        data,
        out,
        vqvae=vqvae,
        budget=Budget(steps=steps, minutes=minutes),
        options=FlexVAEOptions(
            batch=batch, rate=rate, seed=seed, plain=plain, processor=processor
        ),
    )


if __name__ == "__main__":
    typer.run(main)
