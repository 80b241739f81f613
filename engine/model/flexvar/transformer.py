"""FlexVAR's transformer: VAR's, with positions that are pooled to any side and no levels."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.model.attention import Attention, sdpa
from engine.model.flexvar.spec import FlexVARSpec
from engine.model.spec import Scales
from engine.model.var.transformer import VAR


class FlexVAR(VAR):
    """Logits over the codebook for every position of every scale, given the coarser scales."""

    spec: FlexVARSpec

    def __init__(self, spec: FlexVARSpec, attention: Attention = sdpa) -> None:
        super().__init__(spec, attention)

    def make_places(self) -> list[Tensor]:
        spec = self.spec
        self.pos_1LC = nn.Parameter(torch.empty(1, spec.width, spec.grid, spec.grid))
        return [self.pos_1LC]

    def place(self, first: int, last: int) -> Tensor:
        """The grid of positions, pooled to the side of each scale, row by row."""
        grids = [
            F.adaptive_avg_pool2d(self.pos_1LC.float(), side).flatten(2)
            for side in self.spec.scales[first : last + 1]
        ]
        return torch.cat(grids, dim=2).transpose(1, 2)  # (1, n, C)

    def at(self, scales: Scales) -> FlexVAR:
        """The same network, not a copy of it, for another schedule."""
        other = copy.copy(self)
        other.spec = replace(self.spec, scales=scales)
        return other
