"""Matrix weights laid out once as oneDNN wants them, on CPUs.

`F.linear` rearranges a weight at every call, which costs a small scale as much as the product
itself. In bfloat16 the results are the same to the bit; with the activation fused in, an MLP rounds
once less. In float32, where `F.linear` takes another library, they are the same but for rounding,
and the activation is faster by itself. oneDNN's operators are not part of torch's public interface,
so they are tried first, and where they are not there, or differ, nothing is packed.

On some processors (with AMX) a row of a product comes out by a last bit differently by how many
rows there are beside it, so a variation would differ from itself among others. Whether they do is
tried once a shape; where they do, each row of the batch is a product of its own.
"""

from __future__ import annotations

from functools import cache
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.model.var.blocks import MLP, Block, SelfAttention
from engine.model.var.labelled import Modulated


class PackedLinear(nn.Module):
    """A linear layer over a packed weight; ``activation`` "gelu" is the tanh approximation."""

    by_row = False  # whether each row of the batch is a product of its own
    weight: Tensor  # nothing in it; tells device and precision, as a linear layer's does
    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None, activation: str = "none") -> None:
        super().__init__()
        self.register_buffer("weight", weight.new_empty(0), persistent=False)
        self.register_buffer("bias", bias, persistent=False)
        self.activation = activation
        self.shape = weight.shape[0], weight.shape[1]  # (out, in)
        self.packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), None)

    def forward(self, x: Tensor) -> Tensor:
        if self.by_row and len(x) > 1:
            return torch.cat([self._product(row) for row in x.split(1)])
        return self._product(x)

    def _product(self, x: Tensor) -> Tensor:
        algorithm = "tanh" if self.activation == "gelu" else ""
        y = torch.ops.mkldnn._linear_pointwise(
            x, self.packed, self.bias, self.activation, [], algorithm
        )
        return cast(Tensor, y)


ROWS = (2, 8)  # of a batch: branches x variations
LENGTHS = (1, 4, 16, 64)  # positions that are computed of a scale


def rounds_by_batch(layer: PackedLinear) -> bool:
    """Whether a layer's products (B, n, in) depend on how many rows B there are."""
    generator = torch.Generator().manual_seed(0)
    dtype = layer.weight.dtype
    for length in LENGTHS:
        x = torch.randn(max(ROWS), length, layer.shape[1], generator=generator).to(dtype)
        alone = torch.cat([layer._product(row) for row in x.split(1)])
        if any(not torch.equal(layer._product(x[:rows]), alone[:rows]) for rows in ROWS):
            return True
    return False


@cache
def can_pack(dtype: torch.dtype) -> bool:
    """Whether this torch and processor have the operators, and they do what `F.linear` does."""
    if dtype not in (torch.float32, torch.bfloat16):
        return False
    generator = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(3, 64, generator=generator).to(dtype) for _ in range(2))
    bias = weight[:, 0].clone()
    try:
        packed = PackedLinear(weight, bias)(x)
        active = PackedLinear(weight, bias, "gelu")(x)
    except (RuntimeError, AttributeError, NotImplementedError):
        return False
    plain = F.linear(x, weight, bias)
    expected = F.gelu(plain.float(), approximate="tanh")
    same = torch.equal if dtype == torch.bfloat16 else torch.allclose
    return same(packed, plain) and bool((active.float() - expected).abs().max() < 0.05)


def pack(transformer: Modulated) -> bool:
    """Pack a transformer's matrices in place, one after the other; False if it is not for this.

    The network has no official state dict any more: pack what is only to be run.
    """
    heads = [getattr(transformer, name) for name in transformer.heads]
    weight = heads[0].weight
    if weight.device.type != "cpu" or not can_pack(weight.dtype):
        return False
    with torch.inference_mode(False), torch.no_grad():
        for block in [each for each in transformer.modules() if isinstance(each, Block)]:
            _pack_attention(block.attn)
            _pack_mlp(block.ffn)
        for name, head in zip(transformer.heads, heads, strict=True):
            setattr(transformer, name, _packed(head))
        _set_apart(transformer)
    return True


def _set_apart(transformer: nn.Module) -> None:
    """Have those layers take row by row that would round by batch; tried once a shape."""
    known: dict[tuple[int, int, str], bool] = {}
    for layer in transformer.modules():
        if isinstance(layer, PackedLinear):
            shape = (*layer.shape, layer.activation)
            if shape not in known:
                known[shape] = rounds_by_batch(layer)
            layer.by_row = known[shape]


def _packed(linear: nn.Linear, activation: str = "none") -> PackedLinear:
    return PackedLinear(linear.weight.data, linear.bias.data, activation)


def _pack_mlp(mlp: MLP) -> None:
    fused = mlp.fc1.weight.dtype == torch.bfloat16
    mlp.fc1 = _packed(mlp.fc1, "gelu" if fused else "none")  # type: ignore[assignment]
    mlp.fc2 = _packed(mlp.fc2)  # type: ignore[assignment]
    if fused:
        mlp.activation = nn.Identity()


def _pack_attention(attn: SelfAttention) -> None:
    width = attn.proj.in_features
    weight = attn.mat_qkv.weight.data
    bias = torch.cat([attn.zero_k_bias, attn.v_bias.data])
    attn.to_q = PackedLinear(weight[:width], attn.q_bias.data)
    attn.to_kv = PackedLinear(weight[width:], bias)
    del attn.mat_qkv
    attn.proj = _packed(attn.proj)  # type: ignore[assignment]
