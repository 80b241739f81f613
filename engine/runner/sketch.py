"""What the pictures of an edit look like while it is under way."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from engine.arrays import Floats
from engine.draw.loop import ScaleStep
from engine.draw.maps import coverage
from engine.events import PREVIEW_SIDE
from engine.frames.frame import Frame
from engine.machine.device import out_of_memory
from engine.paint.canvas import Canvas
from engine.paint.ranking import Drawn
from engine.paint.rough import rough_pictures
from engine.plan.plan import Pass
from engine.runner.known import for_each
from engine.runner.networks import Runner

ROUGH_SIDE = 128  # pixels of what a coarse scale is shown with: it has a dozen cells across

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunSketch:
    """A scale's preview, until somebody looks: all that it needs, none of which changes. ``drawn``
    is there after the last scale; ``worker`` is the thread in which networks compute, None for the
    one that looks."""

    runner: Runner
    one: Pass
    canvas: Canvas
    seen: list[Frame]
    scale: ScaleStep
    drawn: Drawn | None = None
    worker: Executor | None = None

    def pictures(self, count: int | None) -> list[Image.Image]:
        try:
            return self._pictures(count)
        except Exception as error:  # each library has its own for that
            if not out_of_memory(error):
                raise
            log.info("no preview for want of memory: %s", error)
            return []

    def _pictures(self, count: int | None) -> list[Image.Image]:
        """The canvas as it would be with the scale's feature map in it, scaled down."""
        one, canvas, seen = self.one, self.canvas, self.seen
        total, wanted = len(one.seeds), min(count or one.shown, one.shown)
        maps = self.scale.feature_map
        # Until something is drawn one picture stands for all variations.
        alike = len(maps) == len(seen) == len(canvas.pictures) == 1
        different = 1 if alike else wanted
        some = maps[: -(-different * len(maps) // total)]
        pictures = None if self.drawn is None else list(self.drawn.pictures)
        grey = one.role == "new" or seen[0].studio  # all that is known
        if pictures is None and not grey:  # a decoder would add no detail to what is coarse
            cells = coverage(torch.from_numpy(seen[0].mask), maps.shape[-1]) == 0
            small = [frame.reduced(ROUGH_SIDE) for frame in seen]
            pictures = rough_pictures(maps, [frame.pixels for frame in small], cells)
            seen = seen if pictures is None else small
        if pictures is None:
            pictures = self._computed(self.runner.decode, some)
            pictures += pictures[-1:] * (len(maps) - len(some))  # not to be shown
        shown = canvas.preview(one, seen, for_each(pictures, total), PREVIEW_SIDE, different)
        return shown * (wanted if alike else 1)

    def _computed(self, work: Callable[[Tensor], list[Floats]], maps: Tensor) -> list[Floats]:
        return work(maps) if self.worker is None else self.worker.submit(work, maps).result()
