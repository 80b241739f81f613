"""What an exemplar fill weighs against what. Lengths are in pixels of the full picture where the
part of it that is worked on is ``SIDE`` pixels wide, and grow with that part."""

from __future__ import annotations

from dataclasses import dataclass

SIDE = 384


@dataclass(frozen=True)
class Settings:
    """Distances are squared levels (of 255), summed over the three channels.

    A source pays ``near_y`` levels for every pixel that it is above or below its target, ``near_x``
    for every one beside it: sky goes on beside sky. What was drawn counts ``guide`` times its
    difference, blurred by ``guide_blur`` pixels; less where the pyramid is finer than
    ``guide_scale``, by the power ``guide_fade`` of how much finer. A patch whose distance is the
    ``quantile`` of all has a weight of 0.61 in the vote; one's weight falls by ``decay`` with every
    pixel that it lies further inside. ``rounds`` of search and vote from coarse to fine, the last
    one for all finer levels. Of ``starts`` at random the one whose texture goes on most evenly is
    finished.
    """

    near_y: float = 0.1
    near_x: float = 0.05
    guide: float = 0.3
    guide_blur: float = 4.0
    guide_scale: float = 0.25
    guide_fade: float = 0.0
    quantile: float = 0.75
    decay: float = 2.2
    rounds: tuple[int, ...] = (20, 14, 8, 5)
    loyalty: float = 0.35
    starts: int = 8


DEFAULT = Settings()
