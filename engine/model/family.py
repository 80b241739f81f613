"""What a family of next-scale models must give, so that the loop, the editor and all above them
need not know it.

A picture is a feature map, reached by ids of one codebook, scale by scale. A family is a codec
(pixels to features and back), a scheme (what drawn ids do to the feature map, and what is read of
it to draw more), and a predictor (logits for positions). `engine.model.var` has the first one:

=========  ================================  ===================================================
family     scheme                            predictor
=========  ================================  ===================================================
VAR        `advance` adds a residual         one transformer behind its keys and values
CoDe       VAR's                             `Relay` of two of VAR's
FlexVAR    `advance` replaces the map        as VAR's
HMAR       VAR's, `rounds` of more than one  nothing of earlier scales: `skip` does nothing
=========  ================================  ===================================================

Shapes: P pictures, N rows (P of them, or one for each variation), z channels, S the finest side,
s the side of scale k, V codes. ``state`` is the feature map so far, (N, z, S, S) at the end;
until then it may have whatever sides the family likes.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

Labels = tuple[int | None, ...]
"""Class ids, None for "no label"."""


class Codec(Protocol):
    """Pixels <-> features."""

    @property
    def side(self) -> int:
        """Side of the square picture in pixels."""

    @property
    def decoding(self) -> tuple[nn.Module, ...]:
        """The networks that `decode` runs; their precision is its precision."""

    def features(self, picture: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] -> (B, z, S, S), float32."""

    def decode(self, feature_map: Tensor) -> Tensor:
        """A state, finished or not, -> (B, 3, H, W) in [-1, 1], of `side` pixels."""


class Scheme(Protocol):
    """From scale to scale."""

    @property
    def scales(self) -> tuple[int, ...]:
        """The side of each scale, coarse to fine."""

    @property
    def codebook(self) -> Tensor:
        """(V, z)."""

    def zeros(self, batch: int) -> Tensor:
        """The state before the first scale."""

    def inputs(self, k: int, state: Tensor) -> Tensor:
        """What the predictor reads to predict scale k, (N, s * s, z)."""

    def lacking(self, k: int, state: Tensor, features: Tensor) -> Tensor:
        """The vectors, (N, s * s, z), that scale k should have to bring ``state`` to ``features``
        (N, z, S, S)."""

    def kept(self, k: int, state: Tensor, features: Tensor) -> Tensor:
        """The ids nearest to what is `lacking`, (N, s * s)."""

    def advance(self, k: int, state: Tensor, vectors: Tensor) -> Tensor:
        """The state after scale k, of the code vectors (N, s * s, z) that were kept and drawn.

        Rows are independent to the bit: each comes out as it would alone.
        """

    def as_state(self, features: Tensor) -> Tensor:
        """The finished state (N, z, S, S) that ``features`` are where they are taken as they are,
        and not by way of codes."""

    def rounds(self, k: int, drawn: int) -> int:
        """How often scale k is drawn, ``drawn`` of its positions: once, or again in part, see
        `Refining`."""


class Refining(Scheme, Protocol):
    """A scheme that draws a scale again where it is in doubt."""

    def doubtful(self, k: int, turn: int, chances: Tensor, before: Tensor | None) -> Tensor:
        """What is drawn again in round ``turn`` (1, 2, ...) of scale k, (N, n) bool.

        ``chances`` (N, n) are the log-probabilities that the ids had when they were drawn, of the n
        positions that are drawn at this scale; ``before`` is what was doubtful the round before,
        None after the first one.
        """

    def inputs_again(self, k: int, state: Tensor, vectors: Tensor, hidden: Tensor) -> Tensor:
        """What the predictor reads for it: the code vectors (N, s * s, z) of all ids so far, and
        which positions are ``hidden`` (N, s * s), count. As `inputs`, or with more channels."""


class Predictor(Protocol):
    """Logits over the codebook. Scales come in order, each skipped or asked for once a round.

    A predictor may have several branches: sets of labels, the one to be drawn for first.
    """

    def skip(self, k: int, inputs: Tensor) -> None:
        """Scale k is fully kept: it is context for later scales, nothing more."""

    def logits(self, k: int, inputs: Tensor, rows: Tensor, branches: int = 1) -> Tensor:
        """Logits (branches * N, n, V) of scale k at the positions ``rows`` (n,), of the first
        branches one after the other. Those that are left out once are never asked for again.

        ``inputs`` (N, s * s, z, or more with foresight) are the same for all branches; N grows
        when variations begin to differ: each row repeated, side by side.
        """


class Held(Protocol):
    """Something to go on from, and its size."""

    @property
    def nbytes(self) -> int: ...


@runtime_checkable
class Resumable(Predictor, Protocol):
    """A predictor that can go on where another one of its labels was (`engine.draw.recall`)."""

    def resume(self, k: int, held: Held) -> None:
        """As if everything before scale k had been run; to be called before anything is."""

    def held(self, scales: int) -> Held | None:
        """What the first scales left, as long as the variations were the same; None if nothing ran.

        To be asked when the run is over.
        """


class Model(Protocol):
    """The networks of one model."""

    @property
    def codec(self) -> Codec: ...

    @property
    def scheme(self) -> Scheme: ...

    @property
    def device(self) -> torch.device: ...

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """All of them; the one that predicts stands last."""

    @property
    def picture_bytes(self) -> int:
        """What is worth remembering of a picture's run under a label, in bytes."""

    def condition(self, labels: Labels) -> Any:
        """All that labels decide, with ``nbytes``: worth remembering."""

    def predictor(self, condition: Any, branches: int) -> Predictor:
        """For the labels of a `condition`: those of the first branch, then of the next."""


@runtime_checkable
class Free(Model, Protocol):
    """A model that is not bound to one schedule."""

    def at(self, scales: tuple[int, ...]) -> Model:
        """The same networks, not a copy of them, for another schedule: any that starts at 1."""
