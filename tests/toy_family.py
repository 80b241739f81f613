"""A family unlike VAR: its codec is block means, a scale replaces the map, and is drawn twice."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.model.family import Labels

BLOCK, SCALES, CODES, CLASSES = 8, (1, 2, 4), 27, ("dark", "grey", "light")


class Blocks:
    """Pictures are means of 8 x 8 blocks, colour by colour; codes are a grid of colours."""

    side, scales = BLOCK * SCALES[-1], SCALES
    decoding: tuple[nn.Module, ...] = ()
    codebook = torch.cartesian_prod(*[torch.tensor([-0.8, 0.0, 0.8])] * 3)  # (V, 3)

    def features(self, picture: Tensor) -> Tensor:
        return F.avg_pool2d(picture, BLOCK)

    def decode(self, feature_map: Tensor) -> Tensor:
        return F.interpolate(feature_map, scale_factor=BLOCK, mode="bilinear").clamp(-1, 1)

    def zeros(self, batch: int) -> Tensor:
        return torch.zeros(batch, 3, SCALES[-1], SCALES[-1])

    def inputs(self, k: int, state: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(state, SCALES[k]).flatten(2).transpose(1, 2)

    def lacking(self, k: int, state: Tensor, features: Tensor) -> Tensor:
        return self.inputs(k, features)  # whatever there is: it is replaced

    def kept(self, k: int, state: Tensor, features: Tensor) -> Tensor:
        distance = self.lacking(k, state, features)[:, :, None] - self.codebook
        return distance.square().sum(-1).argmin(-1)

    def advance(self, k: int, state: Tensor, vectors: Tensor) -> Tensor:
        maps = vectors.transpose(1, 2).unflatten(2, (SCALES[k], SCALES[k]))
        return F.interpolate(maps, size=state.shape[-2:], mode="nearest")

    def as_state(self, features: Tensor) -> Tensor:
        return features

    def rounds(self, k: int, drawn: int) -> int:
        return 2 if k == 1 else 1

    def doubtful(self, k: int, turn: int, chances: Tensor, before: Tensor | None) -> Tensor:
        return chances.argsort(1).argsort(1) < (chances.shape[1] + 1) // 2  # the lower half

    def inputs_again(self, k: int, state: Tensor, vectors: Tensor, hidden: Tensor) -> Tensor:
        return torch.cat([vectors.masked_fill(hidden[..., None], 0), hidden[..., None]], dim=2)


@dataclass(frozen=True)
class Wish:
    """How light a label is, (N,)."""

    light: Tensor

    @property
    def nbytes(self) -> int:
        return self.light.nbytes


@dataclass
class Likes:
    """Likes codes near what it reads, and as light as the label; forgets every scale at once."""

    wish: Wish
    branches: int

    def skip(self, k: int, inputs: Tensor) -> None:
        pass

    def logits(self, k: int, inputs: Tensor, rows: Tensor, branches: int = 1) -> Tensor:
        reads = inputs[:, rows, :3].repeat(branches, 1, 1)
        light = self.wish.light.view(self.branches, -1)[:branches]
        light = light.repeat_interleave(len(inputs) // light.shape[1], dim=1).view(-1, 1, 1)
        goal = 0.5 * reads + light
        return -4 * (goal[:, :, None] - Blocks.codebook).square().sum(-1)


class Toy:
    """The model."""

    codec = scheme = Blocks()
    device = torch.device("cpu")
    networks: tuple[nn.Module, ...] = ()
    picture_bytes = 0

    def condition(self, labels: Labels) -> Wish:
        return Wish(torch.tensor([0.0 if each is None else 0.6 * (each - 1) for each in labels]))

    def predictor(self, condition: Wish, branches: int) -> Likes:
        return Likes(condition, branches)
