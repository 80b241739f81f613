"""Packed matrices give what plain ones give."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn import functional as F

from engine.machine.packed import PackedLinear, can_pack, pack, rounds_by_batch
from engine.model.var.transformer import VAR
from engine.plan.labels import Labels
from engine.request import EditRequest
from engine.request.options import EditOptions
from tests.machine.test_memory import MASK, same
from tests.pictures import noisy_rgb
from tests.tiny import LABELS, editor_of, tiny_var, tiny_vqvae

HALF, FULL = torch.bfloat16, torch.float32
needs_half = pytest.mark.skipif(
    not can_pack(HALF), reason="this torch or processor packs no bfloat16"
)
needs_full = pytest.mark.skipif(not can_pack(FULL), reason="this torch packs nothing")
EACH = [pytest.param(HALF, marks=needs_half), pytest.param(FULL, marks=needs_full)]


def in_precision(dtype: torch.dtype, shared: bool = False) -> VAR:
    var = tiny_var(shared=shared)
    for module in (*(b.attn for b in var.blocks), *(b.ffn for b in var.blocks), var.head):
        module.to(dtype)
        for name in ("scale_mul_1H11",):
            if hasattr(module, name):
                getattr(module, name).data = getattr(module, name).data.float()
    return var


@needs_half
@pytest.mark.parametrize("rows", [1, 3, 64, 255])
def test_a_packed_layer_is_the_plain_one_to_the_bit(rows: int) -> None:
    generator = torch.Generator().manual_seed(rows)
    x = torch.randn(2, rows, 128, generator=generator).bfloat16()
    weight = torch.randn(96, 128, generator=generator).bfloat16()
    bias = torch.randn(96, generator=generator).bfloat16()
    assert torch.equal(PackedLinear(weight, bias)(x), F.linear(x, weight, bias))
    assert torch.equal(PackedLinear(weight, None)(x), F.linear(x, weight))
    exact = F.gelu(F.linear(x.double(), weight.double(), bias.double()), approximate="tanh")
    fused = PackedLinear(weight, bias, "gelu")(x)
    torch.testing.assert_close(fused.double(), exact, rtol=2**-7, atol=2e-3)


@pytest.mark.parametrize("dtype", EACH)
@pytest.mark.parametrize("shared", [False, True])
@torch.inference_mode()
def test_a_packed_transformer_is_the_plain_one(shared: bool, dtype: torch.dtype) -> None:
    var = in_precision(dtype, shared)
    packed = copy.deepcopy(var)
    assert pack(packed)
    inputs = torch.randn(2, 20, 8, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([1, 5])
    plain, ours = var(inputs, labels), packed(inputs, labels)
    spread = float(plain.std())
    assert float((plain - ours).abs().max()) < (0.1 if dtype == HALF else 1e-4) * spread
    assert not any(p.dim() == 2 and p.shape[0] == 3 * 128 for p in packed.parameters())


def test_other_precisions_are_left_alone() -> None:
    var = tiny_var().double()
    before = var.state_dict().keys()
    assert not pack(var)
    assert var.state_dict().keys() == before


@pytest.mark.parametrize("dtype", EACH)
def test_an_editor_over_a_packed_transformer_edits(dtype: torch.dtype) -> None:
    var = in_precision(dtype)
    pack(var)
    editor = editor_of(tiny_vqvae(), var, Labels(LABELS))
    options = EditOptions(seed=1, variations=2)
    results = [editor.edit_class(noisy_rgb(40, 40), MASK, 1, options) for _ in range(2)]
    assert same(*results)


class Batchy(PackedLinear):
    """A layer as some processors have it: a product rounds by the rows beside it."""

    def _product(self, x: torch.Tensor) -> torch.Tensor:
        return super()._product(x) * (1 if len(x) < 2 else 1.0078125)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_layer_that_rounds_by_batch_is_found_out_and_taken_row_by_row(dtype: torch.dtype) -> None:
    if not can_pack(dtype):
        pytest.skip("nothing is packed here")
    weight, bias = torch.randn(48, 64).to(dtype), torch.randn(48).to(dtype)
    assert not rounds_by_batch(PackedLinear(torch.zeros(48, 64, dtype=dtype), bias))
    layer = Batchy(weight, bias)
    assert rounds_by_batch(layer)
    x = torch.randn(6, 5, 64).to(dtype)
    assert not torch.equal(layer(x)[:1], layer(x[:1]))
    layer.by_row = True
    assert torch.equal(layer(x)[:1], layer(x[:1]))
    assert torch.equal(layer(x)[2:5], layer(x[2:5]))


@pytest.mark.parametrize("task", ["generate", "inpaint", "edit_class"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_variation_alone_is_the_one_among_four_even_where_products_round_by_batch(
    task: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.machine import packed

    if not can_pack(dtype):
        pytest.skip("nothing is packed here")
    monkeypatch.setattr(packed, "PackedLinear", Batchy)
    network = tiny_var().to(dtype)
    assert pack(network)
    editor = editor_of(tiny_vqvae(), network, Labels(LABELS))
    layers = [each for each in network.modules() if isinstance(each, Batchy)]
    assert layers and all(layer.by_row for layer in layers)
    given = {} if task == "generate" else {"image": noisy_rgb(40, 40), "mask": MASK}
    label = None if task == "inpaint" else "bird"

    def made(seed: int, count: int) -> list[bytes]:
        editor.runner.memory.clear()
        options = EditOptions(seed=seed, variations=count, detail="model")
        request = EditRequest(task=task, label=label, options=options, **given)
        return [image.tobytes() for image in editor.run(request).images]

    assert made(5, 4) == [made(seed, 1)[0] for seed in (5, 6, 7, 8)]
