"""The transformer's head while it is trained: a matrix over the codebook plus a free one.

A head learns 4096 rows one by one, and a small model sees most codes too rarely for that. But codes
are vectors, and what the transformer has to find is a vector: what the feature map still lacks. So
the rows are E A + W, with E the codebook (and each code's square norm): A learns from every token
how to say a vector, as a regression does, and W the rest. The negative squared distance
-|r - c|^2 = 2 r.c - |c|^2 - |r|^2 is linear in (c, |c|^2), so E A can express "the nearest code".
For use both are folded into one ordinary linear layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class CodeHead(nn.Module):
    """(B, n, C) to logits (B, n, V); starts as the given linear layer."""

    codes: Tensor

    def __init__(self, head: nn.Linear, codebook: Tensor) -> None:
        super().__init__()
        codebook = codebook.detach().float()
        square = codebook.square().sum(1, keepdim=True)
        self.register_buffer("codes", torch.cat([codebook, square / square.mean()], 1))
        size = self.codes.shape[1]
        self.weight = nn.Parameter(head.weight.detach().clone())
        self.bias = nn.Parameter(cast(Tensor, head.bias).detach().clone())
        self.by_code = nn.Parameter(torch.zeros(size, head.in_features))
        self.bias_by_code = nn.Parameter(torch.zeros(size))

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = fold(self.codes, self.weight, self.bias, self.by_code, self.bias_by_code)
        return F.linear(x, weight, bias)


def fold(
    codes: Tensor, weight: Tensor, bias: Tensor, by_code: Tensor, bias_by_code: Tensor
) -> tuple[Tensor, Tensor]:
    """Weight (V, C) and bias (V,) of the linear layer that a code head amounts to."""
    return torch.addmm(weight, codes, by_code), torch.addmv(bias, codes, bias_by_code)


def folded(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a transformer that was trained with a code head, with an ordinary one."""
    weights = dict(state)
    for codes in [name for name in state if name.endswith(".codes")]:
        head = codes.removesuffix(".codes")
        parts = [
            weights.pop(f"{head}.{name}")
            for name in ("codes", "weight", "bias", "by_code", "bias_by_code")
        ]
        weights[f"{head}.weight"], weights[f"{head}.bias"] = fold(*parts)
    return weights
