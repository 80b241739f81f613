"""What a label does to a transformer of VAR's kind: embedded once, it modulates every block.

The projections that do this are a third of a block's weights and are read once a label, so they
may lie elsewhere in between.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from engine.model.var.blocks import Block, Modulation


class Shelf(Protocol):
    """Where weights that are read once a label may lie instead of in memory."""

    def hold(self, parameter: nn.Parameter) -> bool:
        """Take a parameter's values in; False, and it stays as it is, where that cannot be."""

    def let_go(self) -> None:
        """What was read is not needed for now."""


class AdaLNBeforeHead(nn.Module):
    """The last modulated norm's projection."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.ada_lin = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))

    def forward(self, label: Tensor) -> tuple[Tensor, Tensor]:
        """Scale and shift, (B, 1, C) each, from the label embedding (B, C)."""
        scale, shift = self.ada_lin(label).float().unflatten(1, (1, 2, -1)).unbind(2)
        return scale, shift


class Modulated(nn.Module):
    """A transformer that is modulated by a label."""

    heads: tuple[str, ...] = ("head",)  # names of the layers that give logits
    class_emb: nn.Embedding
    shared_ada_lin: nn.Module | None
    shelf: Shelf | None = None

    def modulations(
        self, blocks: Iterable[nn.Module], label: Tensor, shared: Tensor | None = None
    ) -> tuple[Modulation, ...]:
        """What a label's embedding (B, C) does to some blocks; ``shared`` as `Block.modulation`.

        Block by block, so that of what is shelved no two are in memory at once.
        """
        found = []
        for block in blocks:
            found.append(cast(Block, block).modulation(label, shared))
            self.let_go()
        return tuple(found)

    def let_go(self) -> None:
        """What was read of the shelf is not needed for now."""
        if self.shelf is not None:
            self.shelf.let_go()

    def shelve_modulation(self, shelf: Shelf, least: int = 0) -> bool:
        """Put what only a label's condition reads on a shelf, if it is on the CPU and of ``least``
        bytes.

        Memory holds it while a label is looked up, and block by block.
        """
        names = ("ada_lin.1.weight", "class_emb.weight")
        held = [weight for name, weight in self.named_parameters() if name.endswith(names)]
        size = sum(weight.nbytes for weight in held)
        if size < least or held[0].device.type != "cpu":
            return False
        self.shelf = shelf
        return all(shelf.hold(weight) for weight in held)

    def move_modulation(self, device: torch.device) -> None:
        """Hold what only a label's condition reads, a third of a block's weights, on another
        device.

        For devices with little memory: a label's condition is computed there, once, and sent over.
        """
        self.class_emb.to(device)
        if self.shared_ada_lin is not None:
            self.shared_ada_lin.to(device)
        for module in self.modules():
            if isinstance(module, AdaLNBeforeHead):
                module.to(device)
            elif isinstance(module, Block) and self.shared_ada_lin is None:
                module.ada_lin.to(device)
            elif isinstance(module, Block):
                module.ada_gss.data = module.ada_gss.data.to(device)
