"""What the transformer's training minimises, and what it starts from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from engine import CheckpointError
from engine.model.flexvar.transformer import FlexVAR
from engine.model.spec import Scales
from engine.model.var.blocks import Block, Modulation
from engine.model.var.transformer import VAR
from engine.training.holes import Cells
from engine.training.trainer import TrainOptions
from engine.weights.checkpoint import inspect, load_var


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
def initialise(var: Any) -> None:
    """Truncated normal matrices, residual branches scaled by depth, modulation near neutral."""
    spec = var.spec
    for module in var.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=module.in_features**-0.5 / 3**0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for head in var.heads:
        getattr(var, head).weight.mul_(0.02)
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
        self, inputs: Tensor, ids: Tensor, labels: Tensor, window: Tensor | None, scales: int,
        schedule: Scales | None = None,
    ) -> Tensor:  # fmt: skip
        """Cross entropy (B, n) of the first `scales` scales, teacher-forced.

        inputs (B, L - 1, z) and ids (B, L) are of these scales; with a `window`, positions of the
        finest of them, the others of that scale are left out and n is smaller than L. ``schedule``
        is for a transformer that is free in it.
        """
        var = self.var.at(schedule) if schedule and isinstance(self.var, FlexVAR) else self.var
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
        smoothing = self.options.label_smoothing if self.training else 0.0
        return by_token(logits, ids, smoothing)


def by_token(logits: Tensor, ids: Tensor, smoothing: float = 0.0) -> Tensor:
    """Cross entropy (B, n) of logits (B, n, V) for ids (B, n)."""
    loss = F.cross_entropy(
        logits.float().flatten(0, 1), ids.flatten(), reduction="none", label_smoothing=smoothing
    )
    return loss.view_as(ids)


def random_window(side: int, size: int, generator: torch.Generator) -> Tensor:
    """Positions of a size x size square at a random place in a side x side map."""
    corner = torch.randint(side - size + 1, (2,), generator=generator)
    top, left = int(corner[0]), int(corner[1])
    square = torch.arange(size)  # (size,)
    rows, columns = top + square, left + square
    return (rows[:, None] * side + columns).flatten()  # (size * size,)


def without_sync(objective: nn.Module) -> Any:
    """Leave gradients unshared among processes for now; the last piece of a batch shares them."""
    if isinstance(objective, DistributedDataParallel):
        return objective.no_sync()
    return nullcontext()
