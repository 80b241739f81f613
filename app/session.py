"""One browser window's work: an immutable history of pictures, and the last run's variations.

Knows pictures and requests; knows neither Gradio nor files nor the engine's nets. Every method
returns a new ``Session``, so a handler that fails half-way leaves the old one untouched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

from PIL import Image

from engine.errors import ImageError, RequestError
from engine.request import EditRequest

MEMORY_LIMIT = 1 << 30  # bytes of pictures that one session may keep; the oldest go first
TASK_TITLES = {
    "inpaint": "Inpaint",
    "outpaint": "Outpaint",
    "edit_class": "Edit class",
    "generate": "Generate",
}


class ResultLike(Protocol):
    """What the session keeps of an engine ``Result``."""

    @property
    def images(self) -> Sequence[Image.Image]: ...
    @property
    def seeds(self) -> Sequence[int]: ...
    @property
    def seconds(self) -> float: ...
    @property
    def request(self) -> EditRequest: ...
    def png(self, index: int) -> bytes: ...
    def request_of(self, index: int) -> EditRequest: ...


@dataclass(frozen=True, eq=False)
class Moment:
    """The picture at one point of the history, at full resolution and in its own mode.

    ``mask`` is what was last painted over it, (H, W) of the canvas's proxy, mode L. ``request``
    made the picture out of the moment before; None if it was opened.
    """

    image: Image.Image
    caption: str
    mask: Image.Image | None = None
    request: EditRequest | None = None

    @cached_property
    def bytes(self) -> int:
        """Memory of the picture, roughly."""
        width, height = self.image.size
        return width * height * len(self.image.getbands()) * (4 if self.image.mode in "IF" else 1)


@dataclass(frozen=True, eq=False)
class Outcome:
    """The variations of the last run. ``base`` is the moment they were made from, -1 for none;
    ``extension`` is what was added (left, top, right, bottom) in pixels, ``grown`` small pictures
    of each scale as data URLs."""

    result: ResultLike
    base: int
    chosen: int = 0
    extension: tuple[int, int, int, int] = (0, 0, 0, 0)
    scales: tuple[int, ...] = ()
    grown: tuple[str, ...] = ()

    @property
    def image(self) -> Image.Image:
        return self.result.images[self.chosen]

    @property
    def seed(self) -> int:
        return int(self.result.seeds[self.chosen])

    @property
    def request(self) -> EditRequest:
        """The request that makes the chosen variation alone."""
        return self.result.request_of(self.chosen)


@dataclass(frozen=True, eq=False)
class Session:
    """The history of a window and where it stands.

    ``version`` counts how often the canvas had to change; it changes with every new picture on
    the canvas and with nothing else.
    """

    name: str = "picture"
    moments: tuple[Moment, ...] = ()
    at: int = -1
    outcome: Outcome | None = None
    version: int = 0

    @property
    def current(self) -> Moment | None:
        return self.moments[self.at] if self.at >= 0 else None

    @property
    def picture(self) -> Moment:
        """The current moment; ImageError if there is none."""
        if self.current is None:
            raise ImageError("there is no picture yet; open one or click an example")
        return self.current

    @property
    def can_undo(self) -> bool:
        return self.at > 0

    @property
    def can_redo(self) -> bool:
        return self.at + 1 < len(self.moments)

    def opened(self, image: Image.Image, name: str) -> Session:
        """With a newly opened picture. It goes on the history, so opening can be undone."""
        moment = Moment(image, f"Opened {name}")
        return replace(self._push(self.at, moment), name=_stem(name), outcome=None)

    def masked(self, mask: Image.Image | None) -> Session:
        """Remember what is painted over the current picture."""
        if self.current is None:
            return self
        moments = list(self.moments)
        moments[self.at] = replace(self.current, mask=mask)
        return replace(self, moments=tuple(moments))

    def remounted(self) -> Session:
        """The same, but to be put on the canvas anew, with the mask that is remembered."""
        return replace(self, version=self.version + 1)

    def ran(
        self, result: ResultLike, scales: tuple[int, ...] = (), grown: tuple[str, ...] = ()
    ) -> Session:
        """With the variations of a run on the current picture; the first is chosen."""
        extension = (0, 0, 0, 0)
        if result.request.task == "outpaint" and self.current is not None:
            left, right, top, bottom = result.request.margins(*self.current.image.size)
            extension = (left, top, right, bottom)
        return replace(self, outcome=Outcome(result, self.at, 0, extension, scales, grown))

    def chose(self, index: int) -> Session:
        """With another variation chosen."""
        outcome = self._outcome()
        if not 0 <= index < len(outcome.result.images):
            raise RequestError(
                f"no variation {index + 1}; this run made {len(outcome.result.images)}"
            )
        return replace(self, outcome=replace(outcome, chosen=index))

    def used(self) -> Session:
        """The chosen variation becomes the picture; what was redoable is gone.

        The result stays, so another variation can be used instead: it replaces the first one.
        """
        outcome = self._outcome()
        task = TASK_TITLES[outcome.request.task]
        label = f" {outcome.request.label}" if outcome.request.label is not None else ""
        caption = f"{task}{label}, seed {outcome.seed}"
        moment = Moment(outcome.image, caption, request=outcome.request)
        return self._push(outcome.base, moment)

    def undone(self) -> Session:
        if not self.can_undo:
            raise RequestError("nothing to undo")
        return self.jumped(self.at - 1)

    def redone(self) -> Session:
        if not self.can_redo:
            raise RequestError("nothing to redo")
        return self.jumped(self.at + 1)

    def jumped(self, index: int) -> Session:
        """At any point of the history."""
        if not 0 <= index < len(self.moments):
            raise RequestError(f"no step {index + 1} in a history of {len(self.moments)}")
        return replace(self, at=index, version=self.version + 1)

    def _outcome(self) -> Outcome:
        if self.outcome is None:
            raise RequestError("there is no result yet; press Run first")
        return self.outcome

    def _push(self, base: int, moment: Moment) -> Session:
        """Put a moment after ``base``, forget what came later, stay within the memory limit."""
        moments = (*self.moments[: base + 1], moment)
        spare = 0
        while len(moments) - spare > 1 and sum(m.bytes for m in moments[spare:]) > MEMORY_LIMIT:
            spare += 1
        outcome = self.outcome
        if outcome is not None and spare:
            outcome = replace(outcome, base=outcome.base - spare) if outcome.base >= spare else None
        kept = moments[spare:]
        return replace(
            self, moments=kept, at=len(kept) - 1, outcome=outcome, version=self.version + 1
        )


def _stem(name: str) -> str:
    """A file name's stem, fit to be part of another file's name."""
    stem = name.replace("\\", "/").rsplit("/", 1)[-1].rsplit(".", 1)[0]
    safe = "".join(c if c.isalnum() or c in "-_ " else "_" for c in stem).strip()
    return safe[:60] or "picture"
