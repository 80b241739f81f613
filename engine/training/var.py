"""Train the next-scale transformer (Tian et al. 2024, section 3.3) on a frozen VQVAE's tokens.

    python -m engine.training.var data/stickers --vqvae runs/vqvae/checkpoint.pt --minutes 60

The same command resumes a run; torchrun starts several processes. Training is progressive. All
scales but the finest are a quarter of the tokens and hold the structure of a picture, so most
pictures are spent on them alone; then comes the finest scale through a window of its positions;
at last everything together, as it is used.
"""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from torch import Tensor, nn

from engine import CheckpointError
from engine.draw.guidance import guided
from engine.draw.keeping import Keeper, foreseen
from engine.draw.loop import generate
from engine.draw.maps import unknown_maps
from engine.model.attention import choose_attention
from engine.model.spec import VARSpec
from engine.model.var.predictor import CachedVAR
from engine.model.var.transformer import VAR
from engine.model.var.vqvae import VQVAE
from engine.plan.rules import Sampling
from engine.plan.shapes import hides_middle
from engine.training.code_head import CodeHead
from engine.training.data import open_pictures
from engine.training.export import export
from engine.training.holes import NO_LABEL, Kind, choose_kind, draw_hole
from engine.training.pieces import keyed_generator
from engine.training.run import (
    Budget,
    Log,
    Processes,
    interruptible,
    processes,
    told_when_full,
)
from engine.training.tokens import TokenStore
from engine.training.trainer import Trainer
from engine.training.var_objective import (
    Hole,
    Objective,
    VAROptions,
    batched_products,
    go_on_from,
    initialise,
    random_window,
    without_sync,
)
from engine.training.vqvae import load_trained_vqvae

SHEET = 12  # classes on the sample sheet
HOLES = 3  # of the generator that holes are drawn by
SHEET_SAMPLING = Sampling(guidance=3.0, top_k=50, top_p=0.95)


class VARTrainer(Trainer):
    title = "var"
    objective: Objective

    def __init__(
        self, data: Path, vqvae: VQVAE, out: Path, budget: Budget, options: VAROptions,
        group: Processes, start: Path | None = None,
    ):  # fmt: skip
        super().__init__(out, budget, options, group)
        self.options = options
        self.vqvae = vqvae.to(group.device)
        side, tokens = vqvae.spec.side, out / "tokens"
        train = open_pictures(
            data, side=side, split="train", seed=options.seed, plain=options.plain
        )
        held_out = open_pictures(
            data, side=side, split="val", seed=options.seed, plain=options.plain
        )
        self.names, self.members = train.names, train.members
        self.tokens = TokenStore(tokens, train, self.vqvae, name=f"train-{options.seed}")
        self.held_out = TokenStore(tokens, held_out, self.vqvae, name=f"val-{options.seed}")
        self.spec = VARSpec(
            depth=options.depth,
            width=options.width,
            scales=vqvae.spec.scales,
            num_classes=len(self.names),
            codebook_size=vqvae.spec.codebook_size,
            latent_channels=vqvae.spec.latent_channels,
            foresight=options.foresight,
        )
        on_cpu = group.device.type == "cpu"
        var = VAR(self.spec, batched_products if on_cpu else choose_attention(group.device))
        initialise(var)
        if start is not None and not self.resumes:
            go_on_from(var, self.names, self.members, start)
        var.head = CodeHead(var.head, vqvae.quantize.embedding.weight)  # type: ignore[assignment]
        self.network = self.var = var.to(group.device)
        self.objective = Objective(var, options, bf16=self.bf16)
        self.begin()
        # A budget that is already spent is followed by an evaluation, not by a step.
        self.scales, _ = self.phase(budget.progress(self.step, self.seconds))

    # --- one step -----------------------------------------------------------------------------

    def phase(self, progress: float) -> tuple[int, bool]:
        """How many scales are trained now, and whether the finest through a window."""
        count, options = len(self.spec.scales), self.options
        if count > 1 and progress < options.prefix_until:
            return count - 1, False
        return count, progress < options.window_until and self.spec.scales[-1] > 1

    def backward(self, objective: nn.Module, progress: float) -> dict[str, float]:
        options, group = self.options, self.group
        start = (self.step * group.world + group.rank) * options.batch
        if options.pictures:
            start %= max(options.pictures - options.batch + 1, 1)
        ids, labels = self.tokens.rows(start, options.batch)
        holes = self.holes(start, labels)
        generator = torch.Generator().manual_seed(options.seed * 1_000_003 + self.step)
        chance = torch.rand(2, group.world, options.batch, generator=generator)[:, group.rank]
        fine = [self.tokens.pictures.fine_label(start + i) for i in range(options.batch)]
        labels = torch.where(chance[0] < options.fine_labels, torch.tensor(fine), labels)
        dropped = (chance[1] < options.label_drop) | torch.tensor([hole.no_label for hole in holes])
        labels = torch.where(dropped, self.spec.no_label, labels)
        unknown = torch.stack([torch.from_numpy(hole.cells).flatten() for hole in holes])
        self.scales, windowed = self.phase(progress)
        side = self.spec.scales[self.scales - 1]
        window = None
        if windowed:
            window = random_window(side, max(round(side * options.window), 1), generator)
        length = self.spec.bounds[self.scales - 1][1]
        each = length if window is None else length - side * side + len(window)
        parts = max(1, round(options.batch * each / options.tokens_at_once))
        total = torch.zeros(self.scales)
        count = torch.zeros(self.scales)
        weight = self.weights(unknown, window)
        # Of all processes: DistributedDataParallel takes the mean of their gradients.
        everything = float(group.sum(weight.sum())) / group.world
        pieces = list(zip(*(t.chunk(parts) for t in (ids, labels, unknown, weight)), strict=True))
        for index, (some_ids, some_labels, some_unknown, some_weight) in enumerate(pieces):
            last = index == len(pieces) - 1
            with nullcontext() if last else without_sync(objective):
                loss = self.losses(objective, some_ids, some_labels, window, some_unknown)
                loss = loss * some_weight
                (loss.sum() / everything).backward()
            sums, counts = self.by_scale(loss.detach(), some_weight, windowed)
            total, count = total + sums, count + counts
        numbers = {"loss": float(total.sum() / count.sum())}
        return numbers | self.named(total / count, "loss/")

    def holes(self, start: int, labels: Tensor) -> list[Hole]:
        """What is unknown of the pictures from number ``start`` on."""
        side, seed = self.spec.scales[-1], self.options.seed
        found = []
        for index, label in enumerate(labels.tolist()):
            rng = keyed_generator(seed, HOLES, self.step, start + index)
            kind: Kind = choose_kind(rng) if self.options.foresight else "everything"
            if label == self.spec.no_label and kind == "everything" and self.options.foresight:
                kind = "any"  # nobody asks for just any photo; photos are there to be mended
            cells = draw_hole(kind, side, rng)
            # An unlabelled hole that hides an object whole would teach to put one there.
            thing = label < len(self.names) and self.names[label] in self.members
            hidden = thing and hides_middle(cells.astype(np.float32))
            drop = kind != "everything" and not hidden and rng.random() < NO_LABEL
            found.append(Hole(cells, drop))
        return found

    def weights(self, unknown: Tensor, window: Tensor | None) -> Tensor:
        """What counts of the loss (B, n): the unknown positions of the scales in training."""
        maps = unknown_maps(unknown, self.spec.scales)[: self.scales]
        if window is not None:
            maps[-1] = maps[-1][:, window]
        return torch.cat(maps, dim=1).float().to(self.group.device)

    def losses(
        self,
        objective: nn.Module,
        ids: Tensor,
        labels: Tensor,
        window: Tensor | None,
        unknown: Tensor | None = None,
    ) -> Tensor:
        """Cross entropy (B, n) of the scales in training; ``unknown`` is (B, S * S), None all."""
        device = self.group.device
        ids, labels = ids.to(device), labels.to(device)
        sizes = [end - begin for begin, end in self.spec.bounds]
        maps = list(ids.split(sizes, dim=1))[: self.scales]
        with torch.no_grad():
            inputs = self.inputs(list(ids.split(sizes, dim=1)), unknown)
        window = None if window is None else window.to(device)
        loss: Tensor = objective(inputs, torch.cat(maps, dim=1), labels, window, self.scales)
        return loss

    def inputs(self, maps: list[Tensor], unknown: Tensor | None) -> Tensor:
        """Inputs (B, n, z), or z + 1 with foresight, of the scales in training but the first."""
        quantizer, scales = self.vqvae.quantize, self.spec.scales
        if unknown is None or not self.options.foresight:
            return quantizer.teacher_inputs(maps[: self.scales])[0]
        inputs, features = quantizer.teacher_inputs(maps)
        unknown = unknown.to(inputs.device)
        each = inputs.split([side * side for side in scales[1:]], dim=1)
        unseen = unknown_maps(unknown, scales)
        return torch.cat(
            [foreseen(each[k - 1], quantizer.inputs(k, features), unseen[k])
             for k in range(1, self.scales)], dim=1
        )  # fmt: skip

    def by_scale(self, loss: Tensor, weight: Tensor, windowed: bool) -> tuple[Tensor, Tensor]:
        """Sums of a loss (B, n) and of its weights for each scale."""
        bounds = list(self.spec.bounds[: self.scales])
        bounds[-1] = (bounds[-1][0], loss.shape[1])  # a window is shorter than its scale
        sums = torch.stack([loss[:, begin:end].sum().cpu() for begin, end in bounds])
        counts = torch.stack([weight[:, begin:end].sum().cpu() for begin, end in bounds])
        return sums, counts

    def named(self, values: Tensor, prefix: str) -> dict[str, float]:
        """One number for each scale, named by its side."""
        sides = self.spec.scales[: self.scales]
        return {f"{prefix}{side}x{side}": float(v) for side, v in zip(sides, values, strict=True)}

    # --- held-out loss and samples ------------------------------------------------------------

    def evaluate(self, log: Log) -> float:
        ids, labels = self.held_out.rows(0, self.options.held_out)
        total, count = torch.zeros(self.scales), torch.zeros(self.scales)
        for some_ids, some_labels in zip(ids.split(8), labels.split(8), strict=True):
            loss = self.losses(self.objective, some_ids, some_labels, None)
            sums, counts = self.by_scale(loss, torch.ones_like(loss), False)
            total, count = total + sums, count + counts
        mean = float(total.sum() / count.sum())
        log.numbers(self.step, {"val/loss": mean, **self.named(total / count, "val/")})
        if log.enabled:
            log.pictures(self.step, "samples", self.sample_sheet())
        return mean

    def sample_sheet(self) -> list[Tensor]:
        """Two variations of a dozen classes: two rows of pictures, (SHEET, 3, H, W) each."""
        every = max(len(self.names) // SHEET, 1)
        labels = range(0, len(self.names), every)[:SHEET]
        columns = torch.stack([self.sample(label, (0, 1)) for label in labels], dim=1)
        return list(columns)

    def sample(self, label: int, seeds: tuple[int, ...]) -> Tensor:
        """Pictures (len(seeds), 3, H, W) of a class, from the scales trained so far."""
        everything = [
            torch.ones(side * side, dtype=torch.bool, device=self.group.device)
            for side in self.spec.scales
        ]
        source = partial(CachedVAR.of, self.var)
        predictor = guided(source, label, SHEET_SAMPLING, len(self.spec.scales))
        steps = generate(
            predictor, Keeper(self.vqvae.quantize), regenerate=everything, seeds=seeds,
            sampling=SHEET_SAMPLING,
        )  # fmt: skip
        for step in steps:
            if step.index == self.scales - 1:
                break
        with torch.inference_mode():
            return self.vqvae.decode(step.feature_map).cpu()

    # --- checkpoints --------------------------------------------------------------------------

    def extra_state(self) -> dict[str, Any]:
        members = {name: list(things) for name, things in self.members.items()}
        return {"spec": asdict(self.spec), "classes": list(self.names), "members": members}

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        if state.get("classes") != list(self.names) or state.get("spec") != asdict(self.spec):
            raise CheckpointError(
                f"{self.checkpoint} holds another model; choose another --out, or the same "
                "sizes, data and VQVAE"
            )


def train_var(
    data: Path,
    out: Path,
    *,
    vqvae: Path,
    budget: Budget,
    options: VAROptions | None = None,
    about: str = "",
    start: Path | None = None,
) -> VAR:
    """Train, or go on training, in the folder `out`; `vqvae` is a checkpoint of train-vqvae.

    ``start`` is the file of a transformer that a new run begins with, see `go_on_from`.

    At the end both networks, with averaged weights, are saved to `out/model` as a model that
    `load_editor` opens. Returns the transformer.
    """
    with processes() as group, interruptible() as caught, told_when_full(out):
        network = load_trained_vqvae(vqvae, group.device)
        trainer = VARTrainer(data, network, out, budget, options or VAROptions(), group, start)
        trainer.run(caught)
        trainer.ema.keep()
        if group.is_first:
            export(vqvae, trainer.checkpoint, out / "model", about=about)
    return trainer.var


def main(
    data: Annotated[Path, typer.Argument(help="The sticker set, or pictures by class.")],
    vqvae: Annotated[Path, typer.Option(help="A run of train-vqvae, or its checkpoint.")] = Path(
        "runs/vqvae/checkpoint.pt"
    ),
    out: Annotated[Path, typer.Option(help="The run's folder; resumed if it exists.")] = Path(
        "runs/var"
    ),
    minutes: Annotated[float | None, typer.Option(help="Stop after so many minutes.")] = None,
    steps: Annotated[int | None, typer.Option(help="Stop after so many steps.")] = None,
    depth: int = VAROptions.depth,
    width: int = VAROptions.width,
    batch: int = VAROptions.batch,
    rate: float = VAROptions.rate,
    seed: int = VAROptions.seed,
    pictures: Annotated[
        int, typer.Option(help="So many different pictures, again and again; 0: always new ones.")
    ] = VAROptions.pictures,
    prefix_until: Annotated[
        float, typer.Option(help="Part of the budget for all scales but the finest.")
    ] = VAROptions.prefix_until,
    window_until: Annotated[
        float, typer.Option(help="Part of the budget until the finest scale is seen whole.")
    ] = VAROptions.window_until,
    start: Annotated[
        Path | None, typer.Option("--from", help="The file of a transformer to go on from.")
    ] = None,
    plain: Annotated[
        float, typer.Option(help="Share of pictures that are the set's photos as they are.")
    ] = VAROptions.plain,
    foresight: Annotated[
        bool, typer.Option(help="Some pictures have holes: what is known is read in full.")
    ] = VAROptions.foresight,
    compile: Annotated[
        bool, typer.Option("--compile", help="Compile the blocks: worth it from half an hour on.")
    ] = False,
    about: Annotated[str, typer.Option(help="A line on the model, saved with it.")] = "",
) -> None:
    """Train the transformer; the same command resumes it. The model is saved to OUT/model."""
    train_var(
        data,
        out,
        vqvae=vqvae,
        budget=Budget(steps=steps, minutes=minutes),
        options=VAROptions(
            depth=depth,
            width=width,
            batch=batch,
            rate=rate,
            seed=seed,
            pictures=pictures,
            prefix_until=prefix_until,
            window_until=window_until,
            plain=plain,
            foresight=foresight,
            compile=compile,
        ),
        about=about,
        start=start,
    )


if __name__ == "__main__":
    typer.run(main)
