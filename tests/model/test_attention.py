"""Attention: one contract for every kernel, chosen by device."""

from __future__ import annotations

import logging
import sys
from functools import partial
from types import ModuleType

import pytest
import torch
from torch import Tensor

from engine.model import attention
from engine.model.attention import attend_by_scale, choose_attention, sdpa, xformers_attention
from engine.model.spec import VARSpec, scale_bounds
from engine.model.var.blocks import stored
from engine.model.var.transformer import KVCache


def tensors(n: int, m: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return tuple(
        torch.randn(2, size, 3, 64, generator=generator).to(dtype) for size in (n, m, m)
    )  # type: ignore[return-value]


def reference(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    """softmax(scale q k^T) v, written out."""
    weights = (torch.einsum("bnhd,bmhd->bhnm", q, k) * scale).softmax(-1)
    return torch.einsum("bhnm,bmhd->bnhd", weights, v)


class StandIn:
    """xformers' memory_efficient_attention by contract: checks its arguments, then computes."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(
        self, query: Tensor, key: Tensor, value: Tensor, *, scale: float | None = None
    ) -> Tensor:
        self.calls += 1
        for each in (query, key, value):
            assert each.dim() == 4 and each.shape[-1] == 64 and each.stride(-1) == 1  # (B, M, H, K)
            assert each.dtype == query.dtype and each.device == query.device
        assert key.shape == value.shape and key.shape[2] == query.shape[2]
        assert scale is not None, "xformers' own default scale is 1 / sqrt(K)"
        return reference(query, key, value, scale)


@pytest.fixture
def xformers(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    stand_in = StandIn()
    ops = ModuleType("xformers.ops")
    ops.memory_efficient_attention = stand_in  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "xformers", ModuleType("xformers"))
    monkeypatch.setitem(sys.modules, "xformers.ops", ops)
    attention._xformers_problem.cache_clear()
    return stand_in


@pytest.mark.parametrize("scale", [1.0, 0.03])
def test_every_kernel_gives_the_reference(xformers: StandIn, scale: float) -> None:
    q, k, v = tensors(5, 9)
    for kernel in (sdpa, xformers_attention):
        torch.testing.assert_close(kernel(q, k, v, scale), reference(q, k, v, scale))
    assert xformers.calls == 1


def test_the_cuda_path_runs_the_whole_model_through_xformers(xformers: StandIn) -> None:
    """Layout and scale by contract: the model with xformers' kernel equals the plain one."""
    from engine.draw.guidance import guided
    from engine.draw.keeping import Keeper
    from engine.draw.loop import generate
    from engine.model.var.predictor import CachedVAR
    from engine.plan.rules import Sampling
    from tests.tiny import SCALES, tiny_var, tiny_vqvae

    vqvae, outcomes = tiny_vqvae(), []
    for kernel in (sdpa, xformers_attention):
        var = tiny_var()
        for block in var.blocks:
            block.attn.attention = kernel
        sampling = Sampling(guidance=2.0)
        with torch.inference_mode():
            predictor = guided(partial(CachedVAR.of, var), 1, sampling, len(SCALES))
        maps = [torch.ones(side * side, dtype=torch.bool) for side in SCALES]
        steps = generate(
            predictor, Keeper(vqvae.quantize), regenerate=maps, seeds=(1, 2), sampling=sampling
        )
        outcomes.append([step.ids for step in steps])
    assert all(torch.equal(a, b) for a, b in zip(*outcomes, strict=True))
    assert xformers.calls == len(SCALES) * len(var.blocks)


def test_training_under_autocast_gives_xformers_one_precision(xformers: StandIn) -> None:
    from engine.training.var_objective import Objective, VAROptions
    from tests.tiny import tiny_var

    inputs = torch.randn(2, 20, 8, generator=torch.Generator().manual_seed(0))
    ids, labels = torch.arange(42).view(2, 21), torch.tensor([0, 3])
    losses = []
    for kernel in (sdpa, xformers_attention):
        var = tiny_var().requires_grad_(True)
        for block in var.blocks:
            block.attn.attention = kernel
        loss = Objective(var, VAROptions(), bf16=True).train()(inputs, ids, labels, None, 3)
        loss.sum().backward()
        assert all(block.attn.mat_qkv.weight.grad.any() for block in var.blocks)
        losses.append(loss.detach())
    torch.testing.assert_close(losses[1], losses[0], atol=0.05, rtol=0.02)
    assert xformers.calls == 3 * len(var.blocks)


def test_attention_by_scale_equals_a_block_causal_mask() -> None:
    bounds = scale_bounds((1, 2, 3))
    q, k, v = tensors(14, 14)
    mask = torch.zeros(14, 14, dtype=torch.bool)
    for begin, end in bounds:
        mask[begin:end, :end] = True
    weights = torch.einsum("bnhd,bmhd->bhnm", q, k).masked_fill(~mask, float("-inf")).softmax(-1)
    expected = torch.einsum("bhnm,bmhd->bnhd", weights, v)
    segments = [(begin, end, end) for begin, end in bounds]
    torch.testing.assert_close(attend_by_scale(sdpa, q, k, v, 1.0, segments), expected)


def test_the_kernel_follows_the_device_not_what_is_installed(xformers: StandIn) -> None:
    assert choose_attention(torch.device("cpu")) is sdpa
    assert choose_attention(torch.device("mps")) is sdpa
    assert xformers.calls == 0


def test_cuda_takes_xformers_where_its_kernel_works(
    xformers: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = torch.zeros
    monkeypatch.setattr(attention.torch, "zeros", lambda *a, device, **k: real(*a, **k))
    assert choose_attention(torch.device("cuda")) is xformers_attention
    assert xformers.calls == 1


def test_cuda_without_a_working_xformers_says_so_once_and_uses_sdpa(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "xformers", None)
    monkeypatch.setitem(sys.modules, "xformers.ops", None)
    attention._xformers_problem.cache_clear()
    real = torch.zeros
    monkeypatch.setattr(attention.torch, "zeros", lambda *a, device, **k: real(*a, **k))
    with caplog.at_level(logging.WARNING):
        assert choose_attention(torch.device("cuda")) is sdpa
    assert len(caplog.records) == 1 and "\n" not in caplog.records[0].getMessage()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_xformers_equals_sdpa() -> None:
    q, k, v = (t.cuda() for t in tensors(40, 80, torch.float16))
    ours = choose_attention(torch.device("cuda"))(q, k, v, 1.0)
    torch.testing.assert_close(ours, sdpa(q, k, v, 1.0), atol=2e-3, rtol=1e-2)


def test_keys_beyond_the_end_of_the_store_are_attended_to_but_not_kept():
    store = torch.zeros(1, 5, 2, 64)
    first, second = torch.randn(1, 3, 2, 64), torch.randn(1, 4, 2, 64)
    assert stored(store, first, slice(0, 3)) is store
    everything = stored(store, second, slice(3, 7))
    assert torch.equal(everything, torch.cat([first, second], dim=1))
    assert torch.equal(store, everything[:, :5])


def test_some_positions_of_a_store_are_overwritten():
    store, new = torch.zeros(1, 5, 2, 64), torch.randn(1, 2, 2, 64)
    assert torch.equal(stored(store, new, torch.tensor([4, 1]))[:, [4, 1]], new)
    assert torch.equal(store[:, [0, 2, 3]], torch.zeros(1, 3, 2, 64))


def test_the_last_scale_has_a_place_in_whole_caches_only():
    spec = VARSpec(depth=2, width=64, scales=(1, 2, 3), num_classes=4)
    made = [
        KVCache(spec, 1, device=torch.device("cpu"), dtype=torch.float32, whole=whole)
        for whole in (False, True)
    ]
    assert [each.store.shape[3] for each in made] == [1 + 4, 1 + 4 + 9]
