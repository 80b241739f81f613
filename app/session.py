"""One browser window's work: an immutable history of pictures, and the variations of its runs.

Knows pictures and requests; knows neither Gradio nor the engine's nets. Every method returns a new
``Session``, so a handler that fails half-way leaves the old one untouched, and a window that was
opened twice is two sessions from then on. Pictures lie in the ``Vault``, so a history may be long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from PIL import Image

from app.moments import Marked, Marks, Moment, ResultLike, Run, Variation
from app.vault import Vault
from engine.errors import ImageError, MaskError, RequestError

MAX_REGIONS = 12  # colours that can still be told apart
TASK_TITLES = {
    "inpaint": "Inpaint",
    "outpaint": "Outpaint",
    "edit_class": "Edit class",
    "generate": "Generate",
}


@dataclass(frozen=True, eq=False)
class Session:
    """The history of a window and where it stands.

    ``version`` counts how often the canvas had to change; it changes with every new picture on
    the canvas and with nothing else. ``kept`` are variations that stay when the next run replaces
    the others; ``chosen`` is the number of one of them all, -1 for none; ``looking``, whether it
    lies over the canvas and is what Download saves. ``stroking`` are the versions before and after
    the last strokes that painted the original back, one right after the
    other. ``key`` is the secret by which the window's page finds it again.
    """

    name: str = "picture"
    moments: tuple[Moment, ...] = ()
    at: int = -1
    results: tuple[Variation, ...] = ()
    kept: tuple[Variation, ...] = ()
    chosen: int = 0
    looking: bool = False
    version: int = 0
    stroking: tuple[int, int] = (-1, -1)
    key: str = ""
    vault: Vault = field(default_factory=Vault, repr=False)

    # ---- where it stands --------------------------------------------------------------------

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
        return self.at > 0 or (self.current is not None and bool(self.current.earlier))

    @property
    def can_redo(self) -> bool:
        more = self.current is not None and bool(self.current.later)
        return more or self.at + 1 < len(self.moments)

    @property
    def shown(self) -> tuple[Variation, ...]:
        """The last run's variations, and after them those kept from earlier ones of the picture
        that is worked on."""
        kept = (v for v in self.kept if v not in self.results and self._of_this_scene(v))
        return (*self.results, *kept)

    def _of_this_scene(self, variation: Variation) -> bool:
        """Whether it was made from nothing, or from the picture that was opened last up to here or
        what became of that."""
        opened = [at for at, moment in enumerate(self.moments) if moment.source is not None]
        begun = max((at for at in opened if at <= self.at), default=0)
        ended = min((at for at in opened if at > self.at), default=len(self.moments))
        base = variation.base
        return base is None or any(base.held is m.held for m in self.moments[begun:ended])

    @property
    def outcome(self) -> Variation | None:
        """The variation that is chosen, None before the first run and for a picture just opened."""
        shown = self.shown
        return shown[min(self.chosen, len(shown) - 1)] if shown and self.chosen >= 0 else None

    @property
    def result(self) -> Variation:
        """The variation that is chosen; RequestError if there is none."""
        if self.outcome is None:
            raise RequestError("there is no result yet; press Run first")
        return self.outcome

    # ---- the picture ------------------------------------------------------------------------

    def opened(self, image: Image.Image, name: str, source: bytes | None = None) -> Session:
        """With a newly opened picture. It goes on the history, so opening can be undone."""
        held_bytes = self.vault.hold_bytes(source) if source is not None else None
        moment = Moment(self.vault.hold(image), f"Opened {name}", source=held_bytes)
        return replace(self._push(self.at, moment), name=stem(name), results=(), chosen=-1)

    def edited(self, image: Image.Image, caption: str) -> Session:
        """With the picture changed by hand, as a step of the history.

        It is the same scene at the same size: what is painted and marked on it stays.
        """
        return self._push(self.at, replace(self.picture, held=self.vault.hold(image),
                                           caption=caption, request=None, source=None,
                                           earlier=(), later=(), made_from=None))  # fmt: skip

    def reshaped(
        self, image: Image.Image, caption: str, mask: Image.Image | None,
        regions: Sequence[Marked],
    ) -> Session:  # fmt: skip
        """With the picture in another shape, as a step of the history, and what is painted and
        marked on it."""
        held = self.vault.hold(mask) if mask is not None else None
        moment = Moment(self.vault.hold(image), caption, held, regions=tuple(regions))
        return self._push(self.at, moment)

    def masked(self, mask: Image.Image | None) -> Session:
        """Remember what is painted over the current picture."""
        current = self.current
        if current is None:
            return self
        if mask is None:
            return self._changed(replace(current, held_mask=None))
        return self._changed(replace(current, held_mask=self.vault.hold(mask)))

    def remasked(self, mask: Image.Image | None) -> Session:
        """With another mask in the place of the one that is remembered, which undo brings back."""
        held = self.vault.hold(mask) if mask is not None else None
        return self._marked(Marks(held, self.picture.regions))

    def _marked(self, marks: Marks) -> Session:
        current = self.picture
        return self._with_marks(marks, (*current.earlier, current.marks), ())

    def _with_marks(
        self, marks: Marks, earlier: tuple[Marks, ...], later: tuple[Marks, ...]
    ) -> Session:
        moment = replace(
            self.picture, held_mask=marks.held_mask, regions=marks.regions, earlier=earlier,
            later=later,
        )  # fmt: skip
        return self._changed(moment).remounted()

    def _changed(self, moment: Moment) -> Session:
        moments = list(self.moments)
        moments[self.at] = moment
        return replace(self, moments=tuple(moments))

    def remounted(self) -> Session:
        """The same, but to be put on the canvas anew, with the mask that is remembered."""
        return replace(self, version=self.version + 1, looking=False)

    # ---- regions ----------------------------------------------------------------------------

    def marked(self, mask: Image.Image, label: str) -> Session:
        """With a region for a class; the mask, which is that of the region, is free for the next
        one."""
        current = self.picture
        if len(current.regions) >= MAX_REGIONS:
            raise MaskError(f"{MAX_REGIONS} regions are the most; press Run, then go on")
        taken = {region.colour for region in current.regions}
        colour = next(index for index in range(MAX_REGIONS) if index not in taken)
        before = self.masked(mask)
        painted = before.picture.held_mask
        assert painted is not None
        region = Marked(painted, label, colour)
        return before._marked(Marks(None, (*current.regions, region)))

    def unmarked(self, index: int) -> Session:
        """Without that region."""
        regions = self.picture.regions
        if not 0 <= index < len(regions):
            raise MaskError(f"no region {index + 1}; there are {len(regions)}")
        left = (*regions[:index], *regions[index + 1 :])
        return self._marked(Marks(self.picture.held_mask, left))

    # ---- results ----------------------------------------------------------------------------

    def ran(
        self,
        result: ResultLike,
        scales: tuple[int, ...] = (),
        grown: tuple[str, ...] = (),
        base: Moment | None = None,
    ) -> Session:
        """With the variations of a run on ``base`` (the current picture if None), the best first
        where they have scores; the first is chosen."""
        base = base or self.current
        extension = (0, 0, 0, 0)
        if result.request.task == "outpaint" and base is not None:
            left, right, top, bottom = result.request.margins(*base.size)
            extension = (left, top, right, bottom)
        count, all_scores = len(result.images), tuple(result.scores)
        notes = tuple(result.notes)
        run = Run(base, result.seconds, count, extension, scales, grown, all_scores, notes)
        scores: Sequence[float | None] = result.scores or [None] * count
        order = sorted(range(count), key=lambda at: -(scores[at] or 0.0))
        variations = tuple(
            Variation(self.vault.hold(result.images[at]), int(result.seeds[at]),
                      result.request_of(at), run, scores[at])
            for at in order
        )  # fmt: skip
        return replace(self, results=variations, chosen=0, looking=True)

    def chose(self, index: int) -> Session:
        """With another variation chosen."""
        shown = self.shown
        if not 0 <= index < len(shown):
            raise RequestError(f"no variation {index + 1}; there are {len(shown)}")
        return replace(self, chosen=index, looking=True)

    def toggled(self) -> Session:
        """Keep the chosen variation beyond the next run, or no longer."""
        variation = self.result
        if variation not in self.kept:
            return replace(self, kept=(*self.kept, variation))
        kept = tuple(v for v in self.kept if v is not variation)
        return replace(self, kept=kept, chosen=self.chosen if variation in self.results else 0)

    def used(self) -> Session:
        """The chosen variation becomes the picture; what was redoable is gone.

        The results stay, so another variation of the same run can be used instead: it replaces
        the first one. Where something else was done since, it goes on top of that.
        """
        variation = self.result
        task = TASK_TITLES[variation.request.task]
        label = f" {variation.request.label}" if variation.request.label is not None else ""
        if variation.request.regions:
            label = " " + ", ".join(str(region.label) for region in variation.request.regions)
        moment = Moment(
            variation.held, f"{task}{label}, seed {variation.seed}", request=variation.request,
            made_from=variation.base.held if variation.base is not None else None,
        )  # fmt: skip
        siblings = [v.held for v in self.shown if v.run is variation.run]
        again = variation in self.results  # such as the one that was used, drawn again
        at = self.at
        while at > 0 and (
            self.moments[at].held in siblings or (again and self.moments[at].same_origin(moment))
        ):
            at -= 1
        instead = at >= 0 and self.moments[at].same(variation.base)
        return self._push(at if instead else self.at, moment)

    # ---- the history ------------------------------------------------------------------------

    def undone(self) -> Session:
        if not self.can_undo:
            raise RequestError("nothing to undo")
        current = self.picture
        if current.earlier:
            later = (current.marks, *current.later)
            return self._with_marks(current.earlier[-1], current.earlier[:-1], later)
        return self.jumped(self.at - 1)

    def redone(self) -> Session:
        if not self.can_redo:
            raise RequestError("nothing to redo")
        current = self.picture
        if current.later:
            earlier = (*current.earlier, current.marks)
            return self._with_marks(current.later[0], earlier, current.later[1:])
        return self.jumped(self.at + 1)

    def jumped(self, index: int) -> Session:
        """At any point of the history."""
        if not 0 <= index < len(self.moments):
            raise RequestError(f"no step {index + 1} in a history of {len(self.moments)}")
        return replace(self, at=index, version=self.version + 1, looking=False)

    def _push(self, base: int, moment: Moment) -> Session:
        """Put a moment after ``base``; forget what came later."""
        moments = [*self.moments[: base + 1], moment]
        if base >= 0:
            moments[base] = replace(moments[base], later=())
        return replace(
            self, moments=tuple(moments), at=base + 1, version=self.version + 1, looking=False
        )


def stem(name: str) -> str:
    """A file name's stem, fit to be part of another file's name."""
    stem = name.replace("\\", "/").rsplit("/", 1)[-1].rsplit(".", 1)[0]
    safe = "".join(c if c.isalnum() or c in "-_ " else "_" for c in stem).strip()
    return safe[:60] or "picture"
