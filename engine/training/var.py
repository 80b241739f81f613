"""Train the next-scale transformer (Tian et al. 2024, section 3.3) on a frozen VQVAE's tokens.

    python -m engine.training.var data/stickers --vqvae runs/vqvae/checkpoint.pt --minutes 60

The same command resumes a run; torchrun starts several processes. Training is progressive. All
scales but the finest are a quarter of the tokens and hold the structure of a picture, so most
pictures are spent on them alone; then comes the finest scale through a window of its positions;
at last everything together, as it is used.
"""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple, cast

import numpy as np
import torch
import typer
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from engine.draw.loop import TransformerPredictor, generate
from engine.draw.maps import unknown_maps
from engine.errors import CheckpointError
from engine.model import VAR, VQVAE
from engine.model.attention import choose_attention
from engine.model.spec import VARSpec
from engine.model.var.blocks import Block, Modulation
from engine.plan.rules import Sampling
from engine.plan.shapes import hides_middle
from engine.training.code_head import CodeHead
from engine.training.data import keyed_generator, open_pictures
from engine.training.export import export
from engine.training.holes import NO_LABEL, Cells, Kind, choose_kind, draw_hole
from engine.training.run import Budget, Log, Processes, interruptible, processes
from engine.training.tokens import TokenStore
from engine.training.trainer import Trainer, TrainOptions
from engine.training.vqvae import load_trained_vqvae
from engine.weights.checkpoint import inspect, load_var

SHEET = 12  # classes on the sample sheet
HOLES = 3  # of the generator that holes are drawn by
SHEET_SAMPLING = Sampling(guidance=3.0, top_k=50, top_p=0.95)


@dataclass(frozen=True, kw_only=True)
class VAROptions(TrainOptions):
    """The recipe; sizes of the network are here too, since the VQVAE decides the rest."""

    depth: int = 6
    width: int = 256
    rate: float = 1.5e-3
    warmup: int = 150
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.95)
    evaluate_every: int = 1000
    held_out: int = 128
    label_drop: float = 0.1  # share of pictures trained without their label
    fine_labels: float = 0.95  # share of named things trained with their name, not their class
    label_smoothing: float = 0.0
    plain: float = 0.0  # share of pictures that are photos as they are, without a label
    foresight: bool = True  # some pictures have holes and show what is known, see `holes`
    prefix_until: float = 0.5  # of the budget: all scales but the finest
    window_until: float = 0.85  # of the budget: the finest scale through a window
    window: float = 0.75  # side of the window, of the finest scale's side
    pictures: int = 0  # so many different ones, again and again; 0: each one is new
    tokens_at_once: int = 1400  # of one forward pass; small passes stay in a CPU's cache
    compile: bool = False  # the blocks by torch.compile: faster steps after minutes of compiling


@torch.no_grad()
def initialise(var: VAR) -> None:
    """Truncated normal matrices, residual branches scaled by depth, modulation near neutral."""
    spec = var.spec
    for module in var.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=module.in_features**-0.5 / 3**0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    var.head.weight.mul_(0.02)
    if spec.foresight:
        nn.init.zeros_(var.known_embed)
    for name, module in var.named_modules():
        if name.endswith(("attn.proj", "ffn.fc2")):
            cast(nn.Linear, module).weight.div_((2 * spec.depth) ** 0.5)
        elif name.endswith("ada_lin"):
            projection = cast(nn.Linear, cast(nn.Sequential, module)[-1])
            projection.weight.mul_(0.1)
            if projection.out_features == 6 * spec.width:
                projection.bias[: 2 * spec.width] = 1  # gamma: branches count from the start


@torch.no_grad()
def go_on_from(
    var: VAR, names: Sequence[str], members: Mapping[str, Sequence[str]], start: Path
) -> None:
    """Give a new transformer the weights of a model's file, of the same shape but for its labels.

    Labels keep their embedding by name; a new thing starts from its class, any other label from
    the mean. Raises CheckpointError if the shapes differ.
    """
    old, had = load_var(start), inspect(start, "VAR").labels
    ours = var.spec
    if replace(old.spec, num_classes=ours.num_classes, foresight=ours.foresight) != ours:
        raise CheckpointError(f"{start} has another shape ({old.spec}); choose the same sizes")
    weights = old.state_dict()
    if ours.foresight:
        weights.setdefault("known_embed", torch.zeros(1, 1, ours.width))
    else:
        weights.pop("known_embed", None)
    table = weights.pop("class_emb.weight")
    class_of = {thing: label for label, things in members.items() for thing in things}
    places = {name: row for row, name in enumerate(had)}
    rows = [places.get(name, places.get(class_of.get(name, ""))) for name in names]
    mean = table[:-1].mean(0)
    spread = table.std() / 4  # new things of a class must not stay the same
    generator = torch.Generator().manual_seed(0)
    new = [mean if row is None else table[row] for row in rows]
    noise = torch.randn(len(rows), table.shape[1], generator=generator) * spread
    known = torch.tensor([name in places for name in names])
    embedding = torch.stack(new) + noise * ~known[:, None]
    weights["class_emb.weight"] = torch.cat([embedding, table[-1:]])
    var.load_state_dict(weights)


def batched_products(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    """Attention as two batched matrix products: on a CPU its gradient is faster than SDPA's.

    q (B, n, H, D), k and v (B, m, H, D) to (B, n, H, D), as in `engine.model.attention`.
    """
    q, k, v = (each.transpose(1, 2) for each in (q, k, v))  # (B, H, n or m, D)
    weights = torch.matmul(q * scale, k.transpose(2, 3)).softmax(-1, dtype=torch.float32)
    return torch.matmul(weights.to(v.dtype), v).transpose(1, 2)  # (B, n, H, D)


class Hole(NamedTuple):
    """What is unknown of one picture, and whether its label is."""

    cells: Cells
    no_label: bool


def run_block(
    block: Block, hidden: Tensor, modulation: Modulation, segments: list[tuple[int, int, int]]
) -> Tensor:
    """A block without a store, (B, n, C) to (B, n, C): what `VAROptions.compile` compiles."""
    return cast(Tensor, block(hidden, modulation, None, 0, segments))


class Objective(nn.Module):
    """VAR with its cross entropy, as one module, so that DistributedDataParallel can wrap it."""

    def __init__(self, var: VAR, options: VAROptions, *, bf16: bool):
        super().__init__()
        self.var, self.options, self.bf16 = var, options, bf16
        # shapes change with the phase alone, so each gets kernels of its own
        self.compiled = torch.compile(run_block, dynamic=False) if options.compile else run_block

    def forward(
        self, inputs: Tensor, ids: Tensor, labels: Tensor, window: Tensor | None, scales: int
    ) -> Tensor:
        """Cross entropy (B, n) of the first `scales` scales, teacher-forced.

        inputs (B, L - 1, z) and ids (B, L) are of these scales; with a `window`, positions of the
        finest of them, the others of that scale are left out and n is smaller than L.
        """
        var = self.var
        bounds = var.spec.bounds[:scales]
        ends = [end for _, end in bounds]
        run = self.compiled if self.training else run_block
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=self.bf16):
            condition = var.condition(labels)
            hidden = var.embed(inputs, condition, 0, scales - 1)
            if window is not None:
                start = bounds[-1][0]
                rows = torch.cat([torch.arange(start, device=ids.device), start + window])
                ids, hidden = ids[:, rows], hidden[:, rows]
                ends[-1] = len(rows)
            segments = list(zip([0, *ends[:-1]], ends, ends, strict=True))
            for block, modulation in zip(var.blocks, condition.blocks, strict=True):
                hidden = run(cast(Block, block), hidden, modulation, segments)
            logits = var.logits(hidden, condition)
        loss = F.cross_entropy(
            logits.float().flatten(0, 1),
            ids.flatten(),
            reduction="none",
            label_smoothing=self.options.label_smoothing if self.training else 0.0,
        )
        return loss.view_as(ids)


def random_window(side: int, size: int, generator: torch.Generator) -> Tensor:
    """Positions of a size x size square at a random place in a side x side map."""
    corner = torch.randint(side - size + 1, (2,), generator=generator)
    top, left = int(corner[0]), int(corner[1])
    square = torch.arange(size)  # (size,)
    rows, columns = top + square, left + square
    return (rows[:, None] * side + columns).flatten()  # (size * size,)


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
            [quantizer.foreseen(k, each[k - 1], features, unseen[k])
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
        quantizer = self.vqvae.quantize
        everything = [
            torch.ones(side * side, dtype=torch.bool, device=self.group.device)
            for side in self.spec.scales
        ]
        predictor = TransformerPredictor(self.var, label, SHEET_SAMPLING)
        steps = generate(
            predictor, quantizer, regenerate=everything, seeds=seeds, sampling=SHEET_SAMPLING
        )
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


def without_sync(objective: nn.Module) -> Any:
    """Leave gradients unshared among processes for now; the last piece of a batch shares them."""
    if isinstance(objective, DistributedDataParallel):
        return objective.no_sync()
    return nullcontext()


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
    with processes() as group, interruptible() as caught:
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
