"""Several parts of a picture, each with a class of its own: in which order they are painted.

A mask is (H, W) bool, True = regenerate.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.arrays import Mask
from engine.errors import MaskError


def painting_order(masks: Sequence[Mask]) -> list[int]:
    """Larger first, equal ones as given: the index of every mask, in the order of painting.

    What is large is mostly ground or stage for what is small ("hills" before the "bird" on them):
    so the small one is drawn knowing what it stands on, and lies on top where the two overlap.
    Raises MaskError if those that are painted later would hide one altogether.
    """
    order = sorted(range(len(masks)), key=lambda index: -int(masks[index].sum()))
    for place, index in enumerate(order):
        above = [masks[other] for other in order[place + 1 :]]
        if above and not (masks[index] & ~np.logical_or.reduce(above)).any():
            raise MaskError(
                f"region {index + 1} lies wholly under smaller ones; give it a part of its own"
            )
    return order
