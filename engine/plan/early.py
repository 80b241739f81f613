"""Choosing early: of many candidates the best are told before all are finished.

After TTS-VAR (Chen et al. 2025), where candidates are dropped from scale to scale by a score. Here
they are dropped once, where the coarse scales tell which ones are the best: docs/measured.md.
"""

from __future__ import annotations

import math

from engine.request import EditRequest

MANY = 8  # candidates from which it is worth it
SURVIVING, SURVIVING_NEW = 3 / 16, 1 / 8  # part of them that is finished; of new pictures
WORTHWHILE = 1 / 2  # the most of them that may be


def survivors(request: EditRequest, frames: int) -> int | None:
    """How many candidates are finished of those that are begun; None for all.

    Without a label and in new pictures the coarse scales tell; where several ``frames`` have a say
    they do not.
    """
    options = request.options
    candidates, tells = options.candidates or 0, request.label is None or request.task == "generate"
    if not tells or options.rule == "paper" or request.regions or frames > 1:
        return None
    part = SURVIVING_NEW if request.task == "generate" else SURVIVING
    few = max(math.ceil(candidates * part), options.variations, 2)
    return few if candidates >= MANY and few <= candidates * WORTHWHILE else None
