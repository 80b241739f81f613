"""The transformer's blocks through `torch.compile`, for devices where starting a kernel costs.

On a GPU a block of a small scale is dozens of kernels that each take less time than their start.
Compiling fuses them; shapes differ from scale to scale, so a block is compiled once for each, at
the first edit, which takes minutes and pays off for who makes many edits.
"""

from __future__ import annotations

import torch

from engine.model.var.transformer import VAR

SHAPES = 64  # specialisations of a block: scales, rows, labelled or not; beyond, it runs plain


def compile_blocks(var: VAR, *, backend: str = "inductor") -> None:
    """Compile a transformer in place; results are the same but for rounding."""
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, SHAPES)
    for block in var.blocks:
        block.compile(backend=backend, dynamic=False)
