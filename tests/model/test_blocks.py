"""The parts of a block in their quick form are what their formulas say."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from engine.model.var.blocks import NORM_EPS, modulated_norm, unit


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_modulated_norm_is_the_same_with_and_without_gradients(
    batch: int, dtype: torch.dtype
) -> None:
    generator = torch.Generator().manual_seed(batch)
    x = torch.randn(batch, 5, 32, generator=generator) * 3 + 1
    scale, shift = (torch.randn(batch, 1, 32, generator=generator) for _ in range(2))
    expected = (F.layer_norm(x, (32,), eps=NORM_EPS) * (1 + scale) + shift).to(dtype)
    trained = modulated_norm(x, scale, shift, dtype)
    with torch.inference_mode():
        run = modulated_norm(x, scale, shift, dtype)
    for found in (trained, run):
        assert found.dtype == dtype and found.shape == x.shape
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_vectors_get_their_length_and_zero_stays_zero(dtype: torch.dtype) -> None:
    x = torch.randn(2, 3, 4, 8, generator=torch.Generator().manual_seed(0)).to(dtype)
    x[0, 0, 0] = 0
    torch.testing.assert_close(unit(x), F.normalize(x.float(), dim=-1))
    scale = torch.tensor([1.0, 2.0, 4.0, 100.0]).view(1, 1, 4, 1)
    torch.testing.assert_close(unit(x, scale), F.normalize(x.float(), dim=-1) * scale)
