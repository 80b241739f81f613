"""Schedules of a model that is free in them: any from 1 up to the side that is asked for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Scales = tuple[int, ...]


def with_steps(base: Scales, count: int, practised: Sequence[int] = ()) -> Scales:
    """A schedule of ``count`` scales that grows as ``base`` does and ends where it ends.

    As far as there are enough, its sides are ``practised`` ones: those that the model was trained
    to draw. Two scales at least, and no more than the last side counts.
    """
    last = base[-1]
    assert 2 <= count <= last
    goals = np.interp(np.linspace(0, len(base) - 1, count), range(len(base)), base)
    sides = [1]
    for index in range(1, count - 1):
        room = range(sides[-1] + 1, last - (count - 1 - index) + 1)
        known = [side for side in room if side in practised]
        # Of what is known enough must be left for the scales to come, else any side will do.
        left = count - 1 - index
        spare = [side for side in known if sum(each > side for each in practised) >= left]
        choice = spare or [*room]
        sides.append(min(choice, key=lambda side: abs(side - goals[index])))
    return (*sides, last)
