"""Where the VQVAE starts: principal components of patches, and a codebook by k-means."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.model.var.vqvae import VQVAE

# The share of the codebook that k-means gives to each scale's residuals; the finest scale has the
# most positions and the last word.
FINEST_SHARE = 0.65
# Residuals enter k-means with a chance of their norm to this power. 0 puts most codes where most
# residuals are, near zero, and the choice among those equals is noise that no transformer can
# predict. 2 gives them to edges and texture: token entropy falls from 7.9 to 6.2 nats at the finest
# scale, and reconstruction is 0.1 dB better (measured on the sticker set).
START_WEIGHT = 2.0


def principal_patches(pictures: Tensor, stride: int, count: int) -> tuple[Tensor, Tensor]:
    """Mean (3, p, p) and first `count` principal components (count, 3, p, p) of the patches.

    The components are scaled so that features projected on them have a mean variance of one.
    """
    size = 3 * stride * stride
    total, product, number = torch.zeros(size).double(), torch.zeros(size, size).double(), 0
    for some in pictures.split(50):
        patches = F.unfold(some, stride, stride=stride).transpose(1, 2).flatten(0, 1)  # (N, size)
        total += patches.sum(0, dtype=torch.float64)
        product += (patches.T @ patches).double()
        number += len(patches)
    mean = total / number
    variance, vectors = torch.linalg.eigh(product / number - mean.outer(mean))
    components = vectors.flip(1)[:, :count].T  # (count, 3 p p), strongest first
    spread = variance.flip(0)[:count].mean().sqrt().clamp_min(1e-6)
    shape = (3, stride, stride)
    return mean.view(shape).float(), (components / spread).view(count, *shape).float()


def k_means(points: Tensor, count: int, generator: torch.Generator, rounds: int = 8) -> Tensor:
    """`count` centres (count, z) of points (N, z); Lloyd's rounds from a random choice."""
    order = torch.randperm(len(points), generator=generator)
    centres = points[order[torch.arange(count) % len(points)]].clone()
    for _ in range(rounds):
        nearest = torch.cat(
            [
                torch.addmm(centres.square().sum(1), part, centres.T, alpha=-2).argmin(1)
                for part in points.split(8192)
            ]
        )
        total = torch.zeros_like(centres).index_add_(0, nearest, points)
        size = torch.bincount(nearest, minlength=count).to(points.dtype)
        empty = size == 0
        centres = total / size.clamp_min(1)[:, None]
        again = torch.randint(len(points), (int(empty.sum()),), generator=generator)
        centres[empty] = points[again]
    return centres


def codes_by_scale(codebook_size: int, scales: tuple[int, ...]) -> list[int]:
    """How many codes the first codebook gives to each scale; halving from fine to coarse."""
    shares = [FINEST_SHARE * (1 - FINEST_SHARE) ** k for k in range(len(scales))][::-1]
    counts = [max(int(codebook_size * share / sum(shares)), 1) for share in shares]
    counts[-1] += codebook_size - sum(counts)
    return counts


@torch.no_grad()
def linear_start(vqvae: VQVAE, pictures: Tensor, seed: int) -> None:
    """Set the network to PCA and k-means, its convolutional towers to zero (see the module)."""
    spec = vqvae.spec
    if vqvae.encoder.linear is None or vqvae.decoder.linear is None:
        return  # no linear path: a start from random weights
    generator = torch.Generator().manual_seed(seed)
    mean, components = principal_patches(pictures, spec.stride, spec.latent_channels)
    size = components.flatten(1).square().sum(1).mean()  # 1 / spread^2
    vqvae.encoder.linear.weight.copy_(components)
    vqvae.encoder.linear.bias.copy_(-(components * mean).sum((1, 2, 3)))  # type: ignore[union-attr]
    vqvae.decoder.linear.weight.copy_(components / size)
    # One bias a channel cannot hold a mean patch, but the mean of pictures is nearly flat.
    vqvae.decoder.linear.bias.copy_(mean.mean((1, 2)))  # type: ignore[union-attr]
    for tower in (vqvae.encoder, vqvae.decoder):
        nn.init.zeros_(tower.conv_out.weight)
        nn.init.zeros_(tower.conv_out.bias)  # type: ignore[arg-type]
    for convolution in (
        vqvae.quant_conv, vqvae.post_quant_conv, *vqvae.quantize.quant_resi.qresi_ls
    ):  # fmt: skip
        assert isinstance(convolution, nn.Conv2d)
        nn.init.dirac_(convolution.weight)
        nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]

    features = torch.cat([vqvae.encoder.linear(part) for part in pictures.split(50)])
    quantizer = vqvae.quantize
    feature_map = torch.zeros_like(features)
    codebook = features.new_zeros(0, spec.latent_channels)
    for k, count in enumerate(codes_by_scale(spec.codebook_size, spec.scales)):
        rest = F.interpolate(features - feature_map, size=(spec.scales[k],) * 2, mode="area")
        points = rest.permute(0, 2, 3, 1).flatten(0, 2)
        chance = points.square().sum(1).pow(START_WEIGHT / 2) + 1e-6
        drawn = torch.multinomial(chance, 24 * count, replacement=True, generator=generator)
        codebook = torch.cat([codebook, k_means(points[drawn], count, generator)])
        filler = codebook[:1].expand(spec.codebook_size - len(codebook), -1)
        quantizer.embedding.weight.copy_(torch.cat([codebook, filler]))
        feature_map = torch.cat(
            [
                quantizer.add(k, so_far, quantizer.look_up(k, quantizer.kept(k, so_far, f)))
                for f, so_far in zip(features.split(50), feature_map.split(50), strict=True)
            ]
        )
