"""A part of a tower equals that part of the whole, statistics being given."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from engine.fast import towers as partial
from engine.fast.towers import (
    Box,
    Encoded,
    decode_noting,
    decode_part,
    encode_noting,
    encode_part,
    parts_to_decode,
    replaying,
)
from engine.model.spec import VQVAESpec
from engine.model.var.vqvae import VQVAE
from tests.parity import reproducible_weights

SHAPES = {
    "official's shape": VQVAESpec(
        scales=(1, 2, 4, 8), codebook_size=16, latent_channels=8, width=8,
        multipliers=(1, 1, 2, 2), blocks_per_level=1,
    ),
    "stem and skip": VQVAESpec(
        scales=(1, 2, 4, 8), codebook_size=16, latent_channels=8, width=8,
        multipliers=(1, 2, 2), blocks_per_level=1, stem=4, linear_skip=True,
    ),
}  # fmt: skip


@pytest.fixture(scope="module", params=SHAPES)
def vqvae(request: pytest.FixtureRequest) -> VQVAE:
    net = VQVAE(SHAPES[request.param])
    reproducible_weights(net)
    return net.eval().requires_grad_(False)


def boxes(side: int) -> list[Box]:
    """In the middle, at corners and edges, odd ones, a single pixel, everything."""
    third = side // 3
    return [
        (third, third, third + 5, third + 3), (0, 0, 3, 4), (side - 2, side - 5, side, side),
        (0, third, 2, third + 1), (third, 0, third + 1, side), (0, 0, side, side),
        (side // 2, side // 2, side // 2 + 1, side // 2 + 1),
    ]  # fmt: skip


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("number", range(7))
def test_a_decoded_part_is_that_part_of_the_picture(vqvae: VQVAE, number: int) -> None:
    side, cells = vqvae.spec.side, vqvae.spec.scales[-1]
    z = random(1, 8, cells, cells)
    picture, norms = decode_noting(vqvae.decoder, z)
    torch.testing.assert_close(picture, vqvae.decoder(z))
    top, left, bottom, right = box = boxes(side)[number]
    part = decode_part(vqvae.decoder, z, box, norms)
    torch.testing.assert_close(part, picture[:, :, top:bottom, left:right], atol=1e-4, rtol=0)


def test_a_small_part_cuts_the_fine_levels_and_a_large_one_none(vqvae: VQVAE) -> None:
    side, cells = vqvae.spec.side, vqvae.spec.scales[-1]
    fine = side // vqvae.spec.stem
    small = parts_to_decode(vqvae.decoder, (0, 0, 2, 2), cells)
    assert small[0][2] < fine and small[-1] == (0, 0, cells, cells)
    everything = parts_to_decode(vqvae.decoder, (0, 0, side, side), cells)
    assert everything[0] == (0, 0, fine, fine)


@pytest.mark.parametrize("number", range(7))
def test_what_a_change_makes_of_the_features_is_found_from_its_part(
    vqvae: VQVAE, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the same statistics at all levels, encoding a part equals encoding everything."""
    side = vqvae.spec.side
    x = random(1, 3, side, side)
    before = encode_noting(vqvae.encoder, x)
    torch.testing.assert_close(before.output, vqvae.encoder.tower(x))
    top, left, bottom, right = box = boxes(side)[number]
    changed = x.clone()
    changed[:, :, top:bottom, left:right] += 3 * random(1, 3, bottom - top, right - left, seed=1)
    monkeypatch.setattr(partial, "recording", lambda norms: replaying(before.norms))
    expected = encode_noting(vqvae.encoder, changed).output
    assert not torch.allclose(expected, before.output, atol=1e-3)
    part = encode_part(vqvae.encoder, changed, box, before)
    torch.testing.assert_close(part, expected, atol=1e-4, rtol=0)


def test_encoding_a_small_part_computes_no_fine_level_whole(vqvae: VQVAE) -> None:
    x = random(1, 3, vqvae.spec.side, vqvae.spec.side)
    before = encode_noting(vqvae.encoder, x)
    seen: list[int] = []
    handle = vqvae.encoder.down[0].block[0].conv1.register_forward_hook(
        lambda module, args, out: seen.append(out.shape[-1])
    )
    encode_part(vqvae.encoder, x, (0, 0, 4, 4), before)
    handle.remove()
    assert seen and max(seen) < vqvae.spec.side // vqvae.spec.stem
    assert isinstance(before, Encoded)
