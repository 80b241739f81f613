"""FlexVAR's `Scheme` (`engine.model.family`): a scale replaces the map. Every scale is a picture of
its own, the finest is the result."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from engine.model.spec import Scales


@dataclass(frozen=True)
class Replacing:
    """The state after scale k is what its codes are: (N, z, s, s) of length 1.

    What is known keeps its ids whatever was drawn before, so nothing that was drawn moves it.
    """

    scales: Scales
    embedding: nn.Embedding

    @property
    def codebook(self) -> Tensor:
        """(V, z), each code of length 1."""
        return F.normalize(self.embedding.weight.float(), dim=1)

    def zeros(self, batch: int) -> Tensor:
        """Before the first scale, which is predicted from the label alone."""
        weight = self.embedding.weight
        return weight.new_zeros(batch, weight.shape[1], 1, 1)

    def inputs(self, k: int, state: Tensor) -> Tensor:
        """The scale before, enlarged."""
        side = self.scales[k]
        if state.shape[-1] != side:
            state = F.interpolate(state, size=(side, side), mode="bicubic")
        return state.flatten(2).transpose(1, 2)

    def lacking(self, k: int, state: Tensor, features: Tensor) -> Tensor:
        """The features themselves, area-pooled: whatever the ``state`` is, it is replaced."""
        pooled = F.adaptive_avg_pool2d(features.float(), self.scales[k])
        return F.normalize(pooled.flatten(2).transpose(1, 2), dim=2)

    def kept(self, k: int, state: Tensor, features: Tensor) -> Tensor:
        """Of vectors of length 1 the nearest is that at the smallest angle."""
        likeness: Tensor = self.lacking(k, state, features) @ self.codebook.T  # (N, s * s, V)
        ids: Tensor = likeness.argmax(2)
        return ids

    def as_state(self, features: Tensor) -> Tensor:
        return F.normalize(features.float(), dim=1)

    def advance(self, k: int, state: Tensor, vectors: Tensor) -> Tensor:
        """A mean of codes gets back the length that a code has."""
        side = self.scales[k]
        maps: Tensor = F.normalize(vectors, dim=2).transpose(1, 2).unflatten(2, (side, side))
        return maps

    def rounds(self, k: int, drawn: int) -> int:
        """Every scale is drawn once."""
        return 1
