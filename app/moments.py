"""What a window's history is made of: pictures at points of time, what is marked on them, and the
variations of a run. All values are frozen; their pictures lie in the `Vault`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from PIL import Image

from app.vault import Held, HeldBytes
from engine.request import EditRequest


class ResultLike(Protocol):
    """What the session keeps of an engine ``Result``."""

    @property
    def images(self) -> Sequence[Image.Image]: ...
    @property
    def seeds(self) -> Sequence[int]: ...
    @property
    def seconds(self) -> float: ...
    @property
    def scores(self) -> Sequence[float]: ...
    @property
    def notes(self) -> Sequence[str]: ...
    @property
    def request(self) -> EditRequest: ...
    def request_of(self, index: int) -> EditRequest: ...


@dataclass(frozen=True, eq=False)
class Marked:
    """A region of the picture that waits for its class: what was painted, (H, W) of the canvas's
    proxy, mode L; and the colour that it is shown in, an index."""

    held: Held
    label: str
    colour: int

    @property
    def mask(self) -> Image.Image:
        return self.held.image


@dataclass(frozen=True, eq=False)
class Marks:
    """What was painted over a picture, and the regions on it."""

    held_mask: Held | None = None
    regions: tuple[Marked, ...] = ()


@dataclass(frozen=True, eq=False)
class Moment:
    """The picture at one point of the history, at full resolution and in its own mode.

    ``mask`` is what was last painted over it, (H, W) of the canvas's proxy, mode L. ``request``
    made the picture out of the moment before; None if it was opened, and then ``source`` is the
    opened file's bytes where they are known. ``earlier`` and ``later`` are what undo and redo bring
    back of what was marked, before they turn to another picture; ``made_from`` is the picture that
    the request was for, where that is known.
    """

    held: Held
    caption: str
    held_mask: Held | None = None
    request: EditRequest | None = None
    regions: tuple[Marked, ...] = ()
    source: HeldBytes | None = None
    earlier: tuple[Marks, ...] = ()
    later: tuple[Marks, ...] = ()
    made_from: Held | None = None

    @property
    def image(self) -> Image.Image:
        return self.held.image

    @property
    def marks(self) -> Marks:
        return Marks(self.held_mask, self.regions)

    @property
    def size(self) -> tuple[int, int]:
        return self.held.size

    @property
    def mask(self) -> Image.Image | None:
        return self.held_mask.image if self.held_mask is not None else None

    def same(self, other: Moment | None) -> bool:
        """Whether it is the same picture; its mask may differ."""
        return other is not None and self.held is other.held

    def same_origin(self, other: Moment) -> bool:
        """Whether both are known to have been made from one picture."""
        return self.made_from is not None and self.made_from is other.made_from


@dataclass(frozen=True, eq=False)
class Run:
    """What the variations of one run have in common.

    ``base`` is the moment they were made from, with the mask and the regions of then, None for
    nothing; ``extension`` is what was added (left, top, right, bottom) in pixels, ``grown`` small
    pictures of each scale as data URLs, ``seconds`` what it took for all ``count`` together,
    ``scores`` those of all, to say how one compares with the others; ``notes`` what did not go as
    asked.
    """

    base: Moment | None
    seconds: float
    count: int
    extension: tuple[int, int, int, int] = (0, 0, 0, 0)
    scales: tuple[int, ...] = ()
    grown: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Variation:
    """One picture of a run. ``request`` makes it alone; ``score`` is higher for better."""

    held: Held
    seed: int
    request: EditRequest
    run: Run
    score: float | None = None

    @property
    def image(self) -> Image.Image:
        return self.held.image

    @property
    def base(self) -> Moment | None:
        return self.run.base

    @property
    def extension(self) -> tuple[int, int, int, int]:
        return self.run.extension

    def coarse_seeds(self, count: int) -> tuple[int, ...]:
        """The seeds that drew its first ``count`` scales."""
        given = self.request.options.coarse_seeds
        return (*given, *[self.seed] * count)[:count]
