"""How one network of a family lies in a file: its tell-tale names, its spec, its stored buffers.

A layout works on names and shapes, and on the few stored values that follow from the spec; it never
reads weights, so a foreign file is refused before any of it is read. Problems are ``LayoutError``s;
who knows the file's name adds it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from engine.model.attention import Attention, sdpa
from engine.model.family import Model
from engine.model.spec import Scales
from engine.weights.file import WeightsFile
from engine.weights.metadata import LayoutError
from engine.weights.shapes import Shape, Shapes, by, several


class Layout(ABC):
    """Of one network.

    ``kind`` is what messages call it, ``nested`` the key under which trainers keep its state dict
    beside others, ``buffers`` the endings of stored names which follow from the spec and may be
    absent.
    """

    kind: str
    nested: str
    buffers: tuple[str, ...] = ()

    @abstractmethod
    def tells(self, shapes: Shapes) -> bool:
        """Whether these are the names of such a network, complete or not."""

    @abstractmethod
    def infer(self, shapes: Shapes, scales: Scales | None) -> Any:
        """The spec. ``scales`` is what is known of the schedule from elsewhere."""

    @abstractmethod
    def skeleton(self, spec: Any, attention: Attention = sdpa) -> nn.Module:
        """The network without memory for its weights (torch's meta device)."""

    def scales_in(self, source: WeightsFile) -> Scales | None:
        """The schedule as a file's own values tell it, if they do."""
        return None

    def state_shapes(self, spec: Any) -> dict[str, Shape]:
        """Names and shapes of a published state dict of this spec, stored buffers included."""
        module = self.skeleton(spec)
        return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}

    def is_buffer(self, name: str) -> bool:
        """Whether an entry is one of the stored buffers, which follow from the spec."""
        return name.endswith(self.buffers)

    def fits(self, name: str, found: Shape, expected: Shape) -> bool:
        """Whether an entry's shape is right."""
        return found == expected

    def made(self, network: nn.Module, spec: Any, dtype: torch.dtype) -> dict[str, Tensor]:
        """The network's buffers, which are made and not read."""
        return {}

    def check(self, source: WeightsFile, spec: Any, made: dict[str, Tensor]) -> None:
        """Refuse a file whose stored buffers are not those that were ``made``."""
        for name, expected in made.items():
            if name in source.shapes and not torch.equal(source.read(name).to(expected), expected):
                raise LayoutError(f"expected the usual values in '{name}', found others")

    def require(self, spec: Any, shapes: Shapes) -> None:
        """Refuse a state dict whose names or shapes are not exactly those of ``spec``.

        Stored buffers may be absent.
        """
        expected = self.state_shapes(spec)
        missing = [name for name in expected if name not in shapes and not self.is_buffer(name)]
        if missing:
            raise LayoutError(
                f"expected {len(expected)} tensors, found none for {several(missing)}"
            )
        extra = [name for name in shapes if name not in expected]
        if extra:
            raise LayoutError(f"expected {len(expected)} tensors, found {several(extra)} as well")
        for name, found in shapes.items():
            if not self.fits(name, found, expected[name]):
                raise LayoutError(f"expected '{name}' as {by(expected[name])}, found {by(found)}")


@dataclass(frozen=True)
class FamilyLayout:
    """The layouts of a family's two networks, and the model that they make together."""

    tokenizer: Layout
    transformer: Layout
    model: Callable[[Any, Any], Model]
