"""What the VQVAE's training minimises."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.model.var.quantizer import Quantizer
from engine.model.var.vqvae import VQVAE
from engine.training.trainer import TrainOptions


def features_of(vqvae: Any, pictures: Tensor, *, bf16: bool) -> Tensor:
    """The continuous features in float32; a convolutional tower that adds nothing is not run."""
    if not vqvae.encoder.has_tower:
        return cast(Tensor, vqvae.features(pictures))
    linear, last = vqvae.encoder.linear, vqvae.encoder.conv_out
    frozen = not last.weight.requires_grad
    if frozen and linear is not None and not (last.weight.any() or cast(Tensor, last.bias).any()):
        return cast(Tensor, vqvae.quant_conv(linear(pictures)))
    with torch.autocast(pictures.device.type, torch.bfloat16, enabled=bf16):
        features = vqvae.features(pictures)
    return cast(Tensor, features.float())



@dataclass(frozen=True, kw_only=True)
class VQVAEOptions(TrainOptions):
    """The recipe. Losses are averages over pixels in [-1, 1] or over features."""

    batch: int = 4
    rate: float = 8e-4
    evaluate_every: int = 500
    l2: float = 0.5  # weights of the losses, beside L1 = 1
    gradient: float = 2.0
    joint: bool = False  # train encoder and codebook too, not the decoder alone
    quantization: float = 0.5
    commitment: float = 0.25  # of the quantization loss
    revive_after: int = 200  # steps without a hit
    adversarial: float = 0.0  # weight of the patch discriminator's loss; 0: none
    adversarial_from: float = 0.6  # of the budget
    redrawn: float = 0.5  # share of a batch that a transformer redraws in part, if there is one
    start_pictures: int = 2000  # for the principal components and the first codebook


@dataclass
class Quantized:
    """What one pass through the quantizer yields in training."""

    feature_map: Tensor  # (B, z, S, S), gradients pass straight through to the features
    loss: Tensor
    hits: Tensor  # (K, V), how often each code was used at each scale
    rest: Tensor = field(repr=False)  # (N, z), what was quantised at all scales, one row a token


def quantize(quantizer: Quantizer, features: Tensor, commitment: float) -> Quantized:
    """Algorithm 1 with the training loss: at every scale the sum so far should be the features."""
    feature_map = torch.zeros_like(features)
    target = features.detach()
    loss = features.new_zeros(())
    hits, rests = [], []
    for k, side in enumerate(quantizer.scales):
        with torch.no_grad():
            rest = target - feature_map
            if side != rest.shape[-1]:
                rest = F.interpolate(rest, size=(side, side), mode="area")
            rest = rest.flatten(2).transpose(1, 2)  # (B, s * s, z)
            ids = quantizer.nearest(rest)
            hits.append(torch.bincount(ids.flatten(), minlength=quantizer.embedding.num_embeddings))
            rests.append(rest.flatten(0, 1))
        feature_map = quantizer.add(k, feature_map, quantizer.look_up(k, ids))
        loss = loss + F.mse_loss(feature_map, target)
        loss = loss + commitment * F.mse_loss(features, feature_map.detach())
    straight = features + (feature_map - features).detach()
    count = len(quantizer.scales)
    return Quantized(straight, loss / count, torch.stack(hits), torch.cat(rests))


def sobel(difference: Tensor) -> Tensor:
    """Mean absolute Sobel response; linear, so that of a difference is the difference of two."""
    edge = difference.new_tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 8
    kernels = torch.stack([edge, edge.T])[:, None].repeat(difference.shape[1], 1, 1, 1)
    return F.conv2d(difference, kernels, groups=difference.shape[1]).abs().mean()


def pixel_losses(decoded: Tensor, pictures: Tensor) -> dict[str, Tensor]:
    """How far pictures (B, 3, H, W) are from what they should be: absolute, squared, and edges."""
    difference = decoded - pictures
    return {
        "l1": difference.abs().mean(),
        "l2": difference.square().mean(),
        "gradient": sobel(difference),
    }


class Objective(nn.Module):
    """The VQVAE with its training loss, as one module for DistributedDataParallel to wrap."""

    def __init__(self, vqvae: VQVAE, options: VQVAEOptions, *, bf16: bool):
        super().__init__()
        self.vqvae, self.options, self.bf16 = vqvae, options, bf16

    def autocast(self, pictures: Tensor) -> torch.autocast:
        return torch.autocast(pictures.device.type, torch.bfloat16, enabled=self.bf16)

    def forward(
        self, pictures: Tensor, redrawn: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor], Tensor, Tensor, Tensor]:
        """Of pictures (B, 3, H, W): loss, its parts, hits (K, V), residuals (N, z), decoded.

        ``redrawn`` (n, z, S, S) is decoded in place of the first n pictures' own feature maps.
        """
        with torch.set_grad_enabled(self.options.joint):
            features = features_of(self.vqvae, pictures, bf16=self.bf16)
            quantized = quantize(self.vqvae.quantize, features, self.options.commitment)
        feature_map = quantized.feature_map
        if redrawn is not None:
            feature_map = torch.cat([redrawn, feature_map[len(redrawn) :]])
        with self.autocast(pictures):
            decoded = self.vqvae.decoder(self.vqvae.post_quant_conv(feature_map))
        decoded = decoded.float()
        parts = {**pixel_losses(decoded, pictures), "quantization": quantized.loss}
        loss = (
            parts["l1"]
            + self.options.l2 * parts["l2"]
            + self.options.gradient * parts["gradient"]
            + self.options.quantization * parts["quantization"]
        )
        detached = {name: part.detach() for name, part in parts.items()}
        return loss, detached, quantized.hits, quantized.rest, decoded


def psnr(mean_square: float) -> float:
    """Decibels of a mean square error over pixels in [-1, 1]."""
    return 10 * math.log10(4 / max(mean_square, 1e-12))
