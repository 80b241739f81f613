"""What an edit tells while it runs, and what it gives in the end.

Events are values: they can be pickled, and say the same whenever they are looked at.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from PIL import Image

from engine.arrays import Floats
from engine.frames.frame import Frame
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

    images: Sequence[Image.Image]
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


class Sketch(Protocol):
    """What the pictures look like as yet; made when it is asked for."""

    def pictures(self, count: int | None) -> list[Image.Image]:
        """One a variation, or those of the first ``count``; none where memory is too short."""
        ...


@dataclass(frozen=True)
class Sketched:
    """A sketch that was made: what is left of one that travels to another process."""

    made: tuple[Image.Image, ...]

    def pictures(self, count: int | None) -> list[Image.Image]:
        return list(self.made[:count])


@dataclass(frozen=True)
class ScaleDone:
    """Scale ``scale`` of frame ``frame`` is drawn: ``index`` of all ``of`` such events."""

    index: int
    of: int
    scale: int
    frame: int
    frames: int
    sketch: Sketch = field(default=Sketched(()), repr=False)

    @property
    def drawn(self) -> bool:
        """Whether it is its frame's last scale: what the decoder makes of that is there already."""
        return (self.index + 1) % (self.of // self.frames) == 0

    def previews(self, count: int | None = None) -> list[Image.Image]:
        """The whole picture as it was then, scaled down to fit 768 pixels: one a variation, or one
        for all of them while their backdrop is painted.

        With ``count`` those of the first so many variations only: each is decoded for it. An empty
        list where memory is too short for a preview: the run itself may go on.
        """
        return self.sketch.pictures(count)

    def __getstate__(self) -> dict[str, Any]:
        """A pickled event has its pictures with it: networks do not travel."""
        return vars(replace(self, sketch=Sketched(tuple(self.sketch.pictures(None)))))


@dataclass(frozen=True)
class Painted:
    """Frame ``frame`` is painted. ``seen`` is what the model was shown, one for all variations or
    one for each; ``pictures`` what it made of that, (S, S, 3) in 0..255, before any blending."""

    frame: int
    frames: int
    role: str
    seen: tuple[Frame, ...] = field(repr=False)
    pictures: tuple[Floats, ...] = field(repr=False)
    scores: tuple[float, ...] = ()


@dataclass(frozen=True)
class Detailing:
    """What was drawn is being made anew of the picture's own detail: this ``share`` of it is."""

    share: float


@dataclass(frozen=True)
class Finished:
    """The edit is done."""

    result: Result

    def previews(self, count: int | None = None) -> list[Image.Image]:
        """The results scaled down to fit 768 pixels."""
        return [thumbnail(image, PREVIEW_SIDE) for image in self.result.images[:count]]


Event = ScaleDone | Painted | Detailing | Finished


def result_of(events: Sequence[Event]) -> Result:
    """The result at the end of some events."""
    last = events[-1]
    assert isinstance(last, Finished)
    return last.result
