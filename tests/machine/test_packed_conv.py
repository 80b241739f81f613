"""Packed convolutions give what plain ones give."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.machine.packed_conv import (
    PackedConv,
    PackedUpsample,
    can_pack_convolutions,
    four_phases,
    pack_convolutions,
)
from engine.model.spec import VQVAESpec
from engine.model.var.autoencoder import Upsample, channels_last
from engine.model.var.vqvae import VQVAE
from engine.plan.labels import Labels
from engine.request.options import EditOptions
from tests.machine.test_memory import MASK, same
from tests.parity import reproducible_weights
from tests.pictures import noisy_rgb
from tests.tiny import LABELS, editor_of, tiny_var, tiny_vqvae

needs = pytest.mark.skipif(
    not can_pack_convolutions(torch.float32), reason="this torch or processor packs nothing"
)


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


@needs
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 1, 1), (1, 1, 0), (3, 2, 0)])
@pytest.mark.parametrize("side", [5, 32, 33])
@torch.inference_mode()
def test_a_packed_convolution_is_the_plain_one(
    kernel: int, stride: int, padding: int, side: int
) -> None:
    conv = nn.Conv2d(24, 48, kernel, stride=stride, padding=padding)
    x = random(1, 24, side, side + 2)
    packed = PackedConv.of(conv, 32)
    torch.testing.assert_close(packed(x), conv(x))
    cut = x[:, :, 1:, 2:]
    torch.testing.assert_close(packed(cut), conv(cut))
    assert packed(x).is_contiguous(memory_format=torch.channels_last)
    assert not any(True for _ in packed.parameters()), "the plain weight is let go of"


def test_a_doubled_map_is_convolved_as_four_of_the_map_itself() -> None:
    weight, x = random(6, 4, 3, 3), random(1, 4, 5, 7)
    small = F.conv2d(x, four_phases(weight), padding=1)  # (1, 24, 6, 8)
    big = F.conv2d(F.interpolate(x, scale_factor=2.0, mode="nearest"), weight, padding=1)
    for index, phase in enumerate(small.chunk(4, dim=1)):
        down, right = divmod(index, 2)
        part = phase[:, :, down : down + 5, right : right + 7]
        torch.testing.assert_close(part, big[:, :, down::2, right::2], rtol=1e-5, atol=1e-5)


@needs
@pytest.mark.parametrize("size", [(1, 1), (8, 8), (5, 12)])
@torch.inference_mode()
def test_a_packed_upsampling_is_the_plain_one(size: tuple[int, int]) -> None:
    plain = Upsample(8)
    packed = PackedUpsample(plain.conv, 8)
    x = random(2, 8, *size)
    torch.testing.assert_close(packed(x), plain(x), rtol=1e-5, atol=1e-5)


@needs
@pytest.mark.parametrize("more", [{}, {"stem": 2}, {"linear_skip": True, "linear_encoder": True}])
@torch.inference_mode()
def test_a_packed_vqvae_is_the_plain_one(more: dict[str, Any]) -> None:
    spec = VQVAESpec(
        scales=(1, 2, 4), codebook_size=64, latent_channels=8, width=16, multipliers=(1, 2, 2),
        blocks_per_level=1, **more,
    )  # fmt: skip
    plain = VQVAE(spec).eval().requires_grad_(False)
    reproducible_weights(plain)
    packed = copy.deepcopy(plain)
    channels_last(packed)
    assert pack_convolutions(packed)
    picture = random(1, 3, plain.spec.side, plain.spec.side).clamp(-1, 1)
    features = plain.features(picture)
    torch.testing.assert_close(packed.features(picture), features, rtol=1e-4, atol=1e-5)
    decoded = plain.decode(features)
    torch.testing.assert_close(packed.decode(features), decoded, rtol=1e-4, atol=1e-4)
    kept = [n for n, m in packed.named_modules() if isinstance(m, nn.Conv2d | Upsample)]
    assert all(not n.startswith(("decoder", "encoder")) or n.endswith("linear") for n in kept)


@needs
@torch.inference_mode()
def test_a_packed_layer_follows_to_another_precision() -> None:
    """As when the decoder steps down for want of memory."""
    plain = nn.Conv2d(16, 32, 3, padding=1)
    packed = PackedConv.of(plain, 16)
    x = random(1, 16, 16, 16)
    packed.to(torch.bfloat16)
    assert packed.weight.dtype == packed.packed.dtype == torch.bfloat16
    half = packed(x.to(torch.bfloat16)).float()
    assert float((half - plain(x)).abs().max()) < 0.05
    packed.to(torch.float32)
    torch.testing.assert_close(packed(x), plain(x), rtol=0.02, atol=0.02)


def test_other_precisions_and_devices_are_left_alone() -> None:
    vqvae = tiny_vqvae().double()
    before = vqvae.state_dict().keys()
    assert not pack_convolutions(vqvae)
    assert vqvae.state_dict().keys() == before


@needs
def test_an_editor_over_packed_towers_edits() -> None:
    vqvae = tiny_vqvae()
    assert pack_convolutions(vqvae)
    editor = editor_of(vqvae, tiny_var(), Labels(LABELS))
    options = EditOptions(seed=1, variations=2)
    results = [editor.edit_class(noisy_rgb(40, 40), MASK, 1, options) for _ in range(2)]
    assert same(*results)
    quick = options.model_copy(update={"speed": "fast"})
    fast = editor.inpaint(noisy_rgb(40, 40), MASK, options=quick)
    assert np.asarray(fast.images[0]).shape == (40, 40, 3)
