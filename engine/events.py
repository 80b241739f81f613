"""What an edit gives: a step a scale, and a result at the end."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from PIL import Image

from engine.machine.device import out_of_memory
from engine.picture.files import encode_png
from engine.picture.source import thumbnail
from engine.request import EditRequest

PREVIEW_SIDE = 768  # longer side of a preview in pixels

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Result:
    """A finished edit: full-resolution pictures, and all that is needed to make them again.

    ``scores`` says which variations are better (`engine.paint.ranking`), higher is better:
    comparable among those of one request. Variations come in the order of their seeds, or best
    first where the request asked for ``candidates``. ``notes`` tells, in words, what did not go as
    asked, such as where memory was short.
    """

    images: tuple[Image.Image, ...]
    seeds: tuple[int, ...]
    seconds: float
    request: EditRequest
    scores: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()

    def png(self, index: int = 0) -> bytes:
        """One picture as a PNG that carries the request which makes it again, alone."""
        return encode_png(self.images[index], self.request_of(index).to_json())

    def request_of(self, index: int) -> EditRequest:
        """The request that makes this picture alone."""
        alone = {"seed": self.seeds[index], "variations": 1, "candidates": None}
        bare = {
            "options": self.request.options.model_copy(update=alone),
            "image": None,
            "mask": None,
            "regions": tuple(r.model_copy(update={"mask": None}) for r in self.request.regions),
        }
        return self.request.model_copy(update=bare)


@dataclass(frozen=True)
class Step:
    """One scale of one frame is done. ``result`` is set on the last step only."""

    index: int
    of: int
    scale: int
    frame: int
    frames: int
    result: Result | None = None
    preview: Callable[[int | None], list[Image.Image]] | None = field(default=None, repr=False)

    def previews(self, count: int | None = None) -> list[Image.Image]:
        """The whole picture as it is now, scaled down to fit 768 pixels: one a variation, or one
        for all of them while their backdrop is painted.

        With ``count`` those of the first so many variations only: each is decoded for it. An empty
        list where memory is too short for a preview: the run itself may go on.
        """
        try:
            if self.result is not None:
                return [thumbnail(image, PREVIEW_SIDE) for image in self.result.images[:count]]
            return self.preview(count) if self.preview is not None else []
        except Exception as error:  # each library has its own for that
            if not out_of_memory(error):
                raise
            log.info("no preview for want of memory: %s", error)
            return []
