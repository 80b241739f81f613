"""The trainer of the next-scale transformer (Tian et al. 2024, section 3.3) on a frozen tokenizer's
tokens. Those of other families go on from it (`flexvar_trainer`, `hmar_trainer`).

Training is progressive. All scales but the finest are a quarter of the tokens and hold the
structure of a picture, so most pictures are spent on them alone; then comes the finest scale
through a window of its positions; at last everything together, as it is used.
"""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from engine import CheckpointError
from engine.draw.guidance import guided
from engine.draw.keeping import Keeper, foreseen
from engine.draw.loop import generate
from engine.draw.maps import unknown_maps
from engine.model.attention import Attention, choose_attention
from engine.model.family import Free, Labels, Model, Predictor
from engine.model.spec import Scales, VARSpec, scale_bounds
from engine.model.var.transformer import VAR
from engine.plan.rules import Sampling
from engine.plan.shapes import hides_middle
from engine.training.code_head import CodeHead
from engine.training.data import open_pictures
from engine.training.holes import NO_LABEL, Kind, choose_kind, draw_hole
from engine.training.pieces import keyed_generator
from engine.training.run import Budget, Log, Processes
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
from engine.weights import families
from engine.weights.families import Family

SHEET = 12  # classes on the sample sheet
HOLES = 3  # of the generator that holes are drawn by
SHEET_SAMPLING = Sampling(guidance=3.0, top_k=50, top_p=0.95)


class VARTrainer(Trainer):
    """``schedule`` and ``scales``, how many of it, are those of the step at hand."""

    title = "var"
    family: Family = families.VAR

    def __init__(
        self, data: Path, vqvae: Any, out: Path, budget: Budget, options: VAROptions,
        group: Processes, start: Path | None = None,
    ):  # fmt: skip
        super().__init__(out, budget, options, group)
        self.options = options
        self.vqvae = vqvae.to(group.device)
        self.stored = self.to_store()
        side, tokens = vqvae.spec.side, out / "tokens"
        train = open_pictures(
            data, side=side, split="train", seed=options.seed, plain=options.plain
        )
        held_out = open_pictures(
            data, side=side, split="val", seed=options.seed, plain=options.plain
        )
        self.names, self.members = train.names, train.members
        self.tokens = TokenStore(tokens, train, self.stored, name=f"train-{options.seed}")
        self.held_out = TokenStore(tokens, held_out, self.stored, name=f"val-{options.seed}")
        sizes = {
            "depth": options.depth,
            "width": options.width,
            "scales": vqvae.spec.scales,
            "num_classes": len(self.names),
            "codebook_size": vqvae.spec.codebook_size,
            "latent_channels": vqvae.spec.latent_channels,
        }
        on_cpu = group.device.type == "cpu"
        var = self.build(sizes, batched_products if on_cpu else choose_attention(group.device))
        self.spec = var.spec
        initialise(var)
        if start is not None and not self.resumes:
            self.go_on_from(var, start, sizes)
        self.model: Model = self.family.layout.model(self.vqvae, var)
        for head in var.heads:
            setattr(var, head, CodeHead(getattr(var, head), self.model.scheme.codebook))
        self.network = self.var = var.to(group.device)
        self.objective = self.make_objective()
        self.schedule: Scales = self.spec.scales
        self.begin()
        # A budget that is already spent is followed by an evaluation, not by a step.
        self.scales, _ = self.phase(budget.progress(self.step, self.seconds))

    # --- what another family does otherwise -----------------------------------------------------

    def build(self, sizes: dict[str, Any], attention: Attention) -> Any:
        """The network, its weights as torch makes them."""
        return VAR(VARSpec(**sizes, foresight=self.options.foresight), attention)

    def make_objective(self) -> nn.Module:
        """Called as `var_objective.Objective`."""
        return Objective(self.var, self.options, bf16=self.bf16)

    def to_store(self) -> Any:
        """The tokenizer with all the scales that tokens are made of."""
        return self.vqvae

    def go_on_from(self, var: Any, start: Path, sizes: dict[str, Any]) -> None:
        """Give the network what it can take of a VAR's file."""
        go_on_from(var, self.names, self.members, start)

    def weights_of(self, start: Path, sizes: dict[str, Any]) -> dict[str, Tensor]:
        """Those of a VAR's file, for our labels."""
        plain = VAR(VARSpec(**sizes))
        go_on_from(plain, self.names, self.members, start)
        return plain.state_dict()

    def begin_step(self, generator: torch.Generator | None) -> None:
        """Choose what the step is about; without a generator it is what an edit would do."""

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
        generator = torch.Generator().manual_seed(options.seed * 1_000_003 + self.step)
        self.begin_step(generator)
        holes = self.holes(start, labels)
        chance = torch.rand(2, group.world, options.batch, generator=generator)[:, group.rank]
        fine = [self.tokens.pictures.fine_label(start + i) for i in range(options.batch)]
        labels = torch.where(chance[0] < options.fine_labels, torch.tensor(fine), labels)
        dropped = (chance[1] < options.label_drop) | torch.tensor([hole.no_label for hole in holes])
        labels = torch.where(dropped, self.spec.no_label, labels)
        unknown = torch.stack([torch.from_numpy(hole.cells).flatten() for hole in holes])
        self.scales, windowed = self.phase(progress)
        side = self.schedule[self.scales - 1]
        window = None
        if windowed:
            window = random_window(side, max(round(side * options.window), 1), generator)
        length = scale_bounds(self.schedule)[self.scales - 1][1]
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
            kind = self.kind_of_hole(rng)
            if label == self.spec.no_label and kind == "everything" and self.spec.foresight:
                kind = "any"  # nobody asks for just any photo; photos are there to be mended
            cells = draw_hole(kind, side, rng)
            # An unlabelled hole that hides an object whole would teach to put one there.
            thing = label < len(self.names) and self.names[label] in self.members
            hidden = thing and hides_middle(cells.astype(np.float32))
            drop = kind != "everything" and not hidden and rng.random() < NO_LABEL
            found.append(Hole(cells, drop))
        return found

    def kind_of_hole(self, rng: np.random.Generator) -> Kind:
        """What is unknown of a picture."""
        return choose_kind(rng) if self.spec.foresight else "everything"

    def weights(self, unknown: Tensor, window: Tensor | None) -> Tensor:
        """What counts of the loss (B, n): the unknown positions of the scales in training."""
        maps = unknown_maps(unknown, self.schedule)[: self.scales]
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
        sides = self.stored.spec.scales
        each = dict(zip(sides, ids.split([side * side for side in sides], dim=1), strict=True))
        maps = [each[side] for side in self.schedule]
        with torch.no_grad():
            inputs = self.inputs(maps, unknown)
        window = None if window is None else window.to(device)
        ids = torch.cat(maps[: self.scales], dim=1)
        loss: Tensor = objective(inputs, ids, labels, window, self.scales, self.schedule)
        return loss

    def inputs(self, maps: list[Tensor], unknown: Tensor | None) -> Tensor:
        """Inputs (B, n, z), or z + 1 with foresight, of the scales in training but the first."""
        model = self.model.at(self.schedule) if isinstance(self.model, Free) else self.model
        scheme, codebook = model.scheme, model.scheme.codebook
        foresees = self.spec.foresight and unknown is not None
        state = scheme.zeros(len(maps[0]))
        inputs = []
        for k, ids in enumerate(maps if foresees else maps[: self.scales]):
            if 0 < k < self.scales:
                inputs.append(scheme.inputs(k, state))
            state = scheme.advance(k, state, codebook[ids])
        if foresees:
            assert unknown is not None
            unseen = unknown_maps(unknown.to(state.device), self.schedule)
            inputs = [
                foreseen(each, scheme.inputs(k, state), unseen[k])
                for k, each in enumerate(inputs, 1)
            ]
        return torch.cat(inputs, dim=1)

    def by_scale(self, loss: Tensor, weight: Tensor, windowed: bool) -> tuple[Tensor, Tensor]:
        """Sums of a loss (B, n) and of its weights for each scale."""
        bounds = list(scale_bounds(self.schedule)[: self.scales])
        bounds[-1] = (bounds[-1][0], loss.shape[1])  # a window is shorter than its scale
        sums = torch.stack([loss[:, begin:end].sum().cpu() for begin, end in bounds])
        counts = torch.stack([weight[:, begin:end].sum().cpu() for begin, end in bounds])
        return sums, counts

    def named(self, values: Tensor, prefix: str) -> dict[str, float]:
        """One number for each scale, named by its usual side."""
        sides = self.spec.scales[: self.scales]
        return {f"{prefix}{side}x{side}": float(v) for side, v in zip(sides, values, strict=True)}

    # --- held-out loss and samples ------------------------------------------------------------

    def evaluate(self, log: Log) -> float:
        self.begin_step(None)
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

        def source(labels: Labels, branches: int) -> Predictor:
            return self.model.predictor(self.model.condition(labels), branches)

        predictor = guided(source, label, SHEET_SAMPLING, len(self.spec.scales))
        steps = generate(
            predictor, Keeper(self.model.scheme), regenerate=everything, seeds=seeds,
            sampling=SHEET_SAMPLING,
        )  # fmt: skip
        for step in steps:
            if step.index == self.scales - 1:
                break
        with torch.inference_mode():
            return self.model.codec.decode(step.feature_map).cpu()

    # --- checkpoints --------------------------------------------------------------------------

    def extra_state(self) -> dict[str, Any]:
        members = {name: list(things) for name, things in self.members.items()}
        return {
            "family": self.family.name, "spec": asdict(self.spec), "classes": list(self.names),
            "members": members,
        }  # fmt: skip

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        if state.get("classes") != list(self.names) or state.get("spec") != asdict(self.spec):
            raise CheckpointError(
                f"{self.checkpoint} holds another model; choose another --out, or the same "
                "sizes, data and VQVAE"
            )
