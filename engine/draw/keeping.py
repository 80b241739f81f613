"""What is known of a picture, as the loop asks for it: scale by scale."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from engine.draw.maps import coverage, unknown_maps
from engine.model.family import Scheme


@dataclass(frozen=True)
class Keeper:
    """Of a picture of which nothing is known. Others know more."""

    scheme: Scheme

    def inputs(self, k: int, state: Tensor) -> Tensor:
        """What the predictor reads to predict scale k."""
        return self.scheme.inputs(k, state)

    def hint(self, k: int, state: Tensor, rows: Tensor) -> Tensor | None:
        """What is added to the logits of scale k at positions ``rows``, (N, n, V)."""
        return None

    def ids(self, k: int, state: Tensor) -> Tensor:
        """The ids that are kept at k, (N, s * s)."""
        raise AssertionError("something is to be kept, but nothing is known")

    def finished(self, state: Tensor) -> Tensor:
        """What becomes of the finished feature map (N, z, S, S)."""
        return state


@dataclass(frozen=True)
class Replay(Keeper):
    """Keeps the ids ``maps`` that encoding the picture gave, (P, s * s) each (the rule "paper")."""

    maps: list[Tensor]

    def ids(self, k: int, state: Tensor) -> Tensor:
        return each_for(self.maps[k], len(state))


@dataclass(frozen=True)
class ClosedLoop(Keeper):
    """Keeps, at each scale, what the known area still lacks as things are now.

    Whatever was drawn at coarser scales, the known area converges to ``features`` (P, z, S, S); and
    it has them to the bit in the end, so that the quantizer's error goes. ``regenerate`` (S * S,)
    is the map of the finest scale. With ``hole``, the masked share of every pixel, (S, S), what is
    known of a token's area in part says by ``strength`` what the token is. Of ``foresight``,
    features (P, z, S, S), the predictor reads the known area at every scale.
    """

    features: Tensor
    regenerate: Tensor
    hole: Tensor | None = None
    strength: float = 0.0
    foresight: Tensor | None = None

    def inputs(self, k: int, state: Tensor) -> Tensor:
        inputs = self.scheme.inputs(k, state)
        if self.foresight is None:
            return inputs
        own = self.scheme.inputs(k, each_for(self.foresight, len(inputs)))
        return foreseen(inputs, own, self._unknown[k])

    def hint(self, k: int, state: Tensor, rows: Tensor) -> Tensor | None:
        """Log-likelihoods: a token of whose area a share w is known is drawn from
        p(v) exp(-strength w d(v)), where d is how far code v is from what the features still lack
        there, in units of the codebook's mean square norm."""
        if self.hole is None or self.strength <= 0:
            return None
        code, square, unit = self._code
        share = (1 - coverage(self.hole, self.scheme.scales[k])).flatten().to(code)[rows]  # (n,)
        features = each_for(self.features, len(state))
        lacking = self.scheme.lacking(k, state, features)[:, rows].float()  # (N, n, z)
        distance = square - 2 * lacking @ code.T  # (N, n, V), without what is the same for all v
        return distance * (-self.strength / unit * share)[:, None]

    def ids(self, k: int, state: Tensor) -> Tensor:
        return self.scheme.kept(k, state, each_for(self.features, len(state)))

    def finished(self, state: Tensor) -> Tensor:
        drawn = self.regenerate.to(state.device).view(1, 1, *state.shape[-2:])
        known = self.scheme.as_state(each_for(self.features, len(state)))
        return torch.where(drawn, state, known.to(state.dtype))

    @cached_property
    def _unknown(self) -> list[Tensor]:
        """On the device once, not at every scale."""
        return unknown_maps(self.regenerate.to(self.features.device), self.scheme.scales)

    @cached_property
    def _code(self) -> tuple[Tensor, Tensor, Tensor]:
        """The codebook (V, z), each code's square (V,), and the mean of these."""
        code = self.scheme.codebook.float()
        square = code.square().sum(1)
        return code, square, square.mean()


def foreseen(inputs: Tensor, own: Tensor, unknown: Tensor) -> Tensor:
    """Inputs of a scale (B, s * s, z) for a model with foresight, (B, s * s, z + 1).

    Positions that are not ``unknown``, (s * s,) or (B, s * s) bool, read their ``own`` (B, s * s,
    z), marked by 1 in the last channel.
    """
    known = ~unknown.view(-1, inputs.shape[1], 1)  # (1 or B, s * s, 1)
    seen = torch.where(known, own.to(inputs.dtype), inputs)
    mark = known.to(inputs.dtype).expand(len(inputs), -1, -1)
    return torch.cat([seen, mark], dim=2)


def tokens(scheme: Scheme, features: Tensor) -> tuple[list[Tensor], Tensor]:
    """The token maps of features (P, z, S, S), and the feature map that they make."""
    state, maps = scheme.zeros(len(features)), []
    for k in range(len(scheme.scales)):
        maps.append(scheme.kept(k, state, features))
        state = scheme.advance(k, state, scheme.codebook[maps[-1]])
    return maps, state


def each_for(rows: Tensor, count: int) -> Tensor:
    """P rows as those of ``count`` variations, those of one picture side by side."""
    return rows if len(rows) == count else rows.repeat_interleave(count // len(rows), dim=0)
