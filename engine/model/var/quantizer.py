"""The residual quantizer: K token maps, coarse to fine, add up to one feature map. It is VAR's
`Scheme` (`engine.model.family`).

Glossary: ``features`` f, the encoder's output (B, z, S, S); ``feature_map`` f-hat, the sum of what
the scales up to k stand for, same shape; phi, the shared 3x3 convolutions (paper, section 3.2 and
algorithms 1 and 2).
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.model.spec import VQVAESpec

PHI_RATIO = 0.5  # the share of the convolution in phi, fixed in the official checkpoints


class SharedPhi(nn.Module):
    """A few phi convolutions, each scale using the nearest of evenly placed ticks."""

    def __init__(self, channels: int, count: int, scales: int) -> None:
        super().__init__()
        self.qresi_ls = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=1) for _ in range(count)
        )
        margin = 1 / 3 / count if count == 4 else 1 / 2 / count
        ticks = torch.linspace(margin, 1 - margin, count, dtype=torch.float64)
        place = [k / max(scales - 1, 1) for k in range(scales)]
        self.pick = [int((ticks - p).abs().argmin()) for p in place]

    def forward(self, h: Tensor, k: int) -> Tensor:
        return torch.lerp(h, self.qresi_ls[self.pick[k]](h).to(h.dtype), PHI_RATIO)


class Quantizer(nn.Module):
    """Token ids <-> feature map. Ids are (B, s * s), int64, row by row."""

    ema_vocab_hit_SV: Tensor

    def __init__(self, spec: VQVAESpec) -> None:
        super().__init__()
        self.scales = spec.scales
        self.embedding = nn.Embedding(spec.codebook_size, spec.latent_channels)
        self.quant_resi = SharedPhi(spec.latent_channels, spec.phis, len(spec.scales))
        self.register_buffer(
            "ema_vocab_hit_SV", torch.zeros(len(spec.scales), spec.codebook_size)
        )

    def nearest(self, vectors: Tensor) -> Tensor:
        """Ids of the nearest codebook entries: (..., z) -> (...)."""
        flat = vectors.reshape(-1, vectors.shape[-1])
        code = self.embedding.weight.to(flat.dtype)
        distance = torch.addmm(
            flat.square().sum(1, keepdim=True) + code.square().sum(1), flat, code.T, alpha=-2
        )  # (N, V)
        ids: Tensor = distance.argmin(1).view(vectors.shape[:-1])
        return ids

    def lacking(self, k: int, feature_map: Tensor, features: Tensor) -> Tensor:
        """What ``feature_map`` still lacks of ``features``, area-pooled: (B, s * s, z)."""
        return self.inputs(k, (features - feature_map).float())

    def kept(self, k: int, feature_map: Tensor, features: Tensor) -> Tensor:
        """Ids of scale k for what is lacking: (B, s * s)."""
        return self.nearest(self.lacking(k, feature_map, features))

    def look_up(self, k: int, ids: Tensor) -> Tensor:
        """Codebook vectors of a token map: (B, s * s) -> (B, z, s, s)."""
        side = self.scales[k]
        vectors: Tensor = self.embedding(ids).transpose(1, 2).unflatten(2, (side, side))
        return vectors

    def add(self, k: int, feature_map: Tensor, vectors: Tensor) -> Tensor:
        """The feature map after scale k: (B, z, S, S) plus phi_k(upsampled (B, z, s, s))."""
        if vectors.shape[-1] != feature_map.shape[-1]:
            vectors = F.interpolate(vectors, size=feature_map.shape[-2:], mode="bicubic")
        return cast(Tensor, feature_map + self.quant_resi(vectors, k))

    def advance(self, k: int, feature_map: Tensor, vectors: Tensor) -> Tensor:
        """As `add`, of code vectors (B, s * s, z).

        Row by row: a convolution over several pictures rounds otherwise than one over each.
        """
        side = self.scales[k]
        maps = vectors.transpose(1, 2).unflatten(2, (side, side)).contiguous()  # (B, z, s, s)
        pairs = zip(feature_map.contiguous().split(1), maps.split(1), strict=True)
        return torch.cat([self.add(k, before, new) for before, new in pairs])

    def as_state(self, features: Tensor) -> Tensor:
        """They are what the maps add up to, but for the quantizer's error."""
        return features

    def rounds(self, k: int, drawn: int) -> int:
        """Every scale is drawn once."""
        return 1

    @property
    def codebook(self) -> Tensor:
        """(V, z)."""
        return self.embedding.weight

    def zeros(self, batch: int) -> Tensor:
        """The feature map before the first scale."""
        weight = self.embedding.weight
        side = self.scales[-1]
        return weight.new_zeros(batch, weight.shape[1], side, side)

    def encode(self, features: Tensor) -> tuple[list[Tensor], Tensor]:
        """Algorithm 1: all token maps of (B, z, S, S) and the feature map they add up to."""
        feature_map = torch.zeros_like(features)
        maps: list[Tensor] = []
        for k in range(len(self.scales)):
            ids = self.kept(k, feature_map, features)
            feature_map = self.add(k, feature_map, self.look_up(k, ids))
            maps.append(ids)
        return maps, feature_map

    def inputs(self, k: int, feature_map: Tensor) -> Tensor:
        """What the transformer reads to predict scale k: (B, s * s, z), area-pooled."""
        side = self.scales[k]
        if side != feature_map.shape[-1]:
            feature_map = F.interpolate(feature_map, size=(side, side), mode="area")
        return feature_map.flatten(2).transpose(1, 2)

    def teacher_inputs(self, maps: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Inputs of scales 1..K-1 for known ids, (B, L - 1, z), and the feature map (alg. 2)."""
        feature_map = self.zeros(maps[0].shape[0])
        inputs: list[Tensor] = []
        for k, ids in enumerate(maps):
            if k:
                inputs.append(self.inputs(k, feature_map))
            feature_map = self.add(k, feature_map, self.look_up(k, ids))
        return torch.cat(inputs, dim=1), feature_map
