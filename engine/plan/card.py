"""What must be known of a model to plan an edit with it: no networks, no files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from engine.errors import RequestError
from engine.plan.labels import Labels
from engine.plan.schedules import with_steps
from engine.request.options import EditOptions

# What a file may recommend under "defaults".
SAMPLING = {"guidance", "guidance_schedule", "top_k", "top_p", "temperature", "soft_scales"}


@dataclass(frozen=True)
class Card:
    """A model as it is known before it is loaded.

    ``side`` is that of its square in pixels, ``scales`` its schedule, ``recommended`` the sampling
    that suits it, ``foresight`` whether it was trained to read the known area at every scale;
    ``source`` says where its files are from. A model that is free in its schedule has ``schedules``
    that suit it, those of a side from the usual one on; of their sides it has ``practised`` some,
    the others it can draw with care.
    """

    name: str
    side: int
    scales: tuple[int, ...]
    labels: Labels
    family: str = ""
    recommended: Mapping[str, Any] = field(default_factory=dict)
    foresight: bool = False
    about: str = ""
    source: str = ""
    licence: str = ""
    schedules: tuple[tuple[int, ...], ...] = ()
    practised: tuple[int, ...] = ()

    @property
    def sides(self) -> tuple[int, ...]:
        """The sides of squares, in pixels, that may be asked for."""
        stride = self.side // self.scales[-1]
        ends = dict.fromkeys(each[-1] for each in (self.scales, *self.schedules))
        return tuple(stride * end for end in ends)

    def drawing(self, options: EditOptions) -> Card:
        """The card of the same model at the side and in the steps that are asked for.

        Raises RequestError for what it cannot do.
        """
        side, steps = options.square or self.side, options.steps
        if side not in self.sides:
            known = " or ".join(map(str, self.sides))
            raise RequestError(f"square: {self.name!r} sees squares of {known} pixels (got {side})")
        end = side * self.scales[-1] // self.side
        fitting = [each for each in (self.scales, *self.schedules) if each[-1] == end]
        same = [each for each in fitting if len(each) == (steps or len(each))]
        if not same and not self.schedules:
            raise RequestError(
                f"steps: {self.name!r} always draws {len(self.scales)} scales (got {steps})"
            )
        if not same and not 2 <= (steps or 0) <= end:
            raise RequestError(f"steps: at {side} pixels there are 2 to {end} (got {steps})")
        scales = same[0] if same else with_steps(fitting[0], steps or 0, self.practised)
        return replace(self, side=side, scales=scales)


def is_sampling(value: Any) -> bool:
    """Whether a value is a model's own sampling defaults, such as {"top_k": 20}.

    They are used as they stand, so {"top_k": "20"} and {"top_k": null} are none.
    """
    if not isinstance(value, dict) or not set(value) <= SAMPLING:
        return False
    try:
        options = EditOptions(**value)
    except RequestError:
        return False

    def as_it_stands(given: Any, read: Any) -> bool:
        number = isinstance(read, float) and type(given) is int
        return given is not None and given == read and (number or type(given) is type(read))

    return all(as_it_stands(given, getattr(options, name)) for name, given in value.items())
