"""The pictures of an edit under way, painted frame by frame, in several variations."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar, overload

import cv2
import numpy as np
from PIL import Image

from engine.arrays import RGB, Box, Floats, Mask, Window, fingerprint, to_bytes
from engine.errors import DamageError
from engine.frames.frame import Frame
from engine.paint.composite import composite, fade_in
from engine.paint.exemplar.filling import filling
from engine.paint.foreign import holds_something
from engine.paint.ranking import Drawn, Tally, best_first
from engine.paint.studio import staged
from engine.picture.source import Source, blank, extend, same_outside
from engine.plan.plan import LARGE, Pass, Plan
from engine.plan.shapes import holds_thing

NOTHING = "seed {}: nothing could be told from the ground that it was drawn on; try another seed"
STAGED = "{}: says nothing of a thing that is drawn before a plain ground"

Done = TypeVar("Done")
Told = TypeVar("Told")


@dataclass(frozen=True, kw_only=True)
class Canvas:
    """The canvases of an edit. Until the first frame is done all variations share one.

    ``masks`` (h, w) are painted one after the other; where they overlap, the later one lies on top.
    All arrays cover ``box``, the part of the source that matters. ``behind`` is a canvas that shows
    where nothing is drawn before it. A canvas never changes: painting gives another one.
    """

    source: Source
    box: Box
    masks: tuple[Mask, ...]
    pictures: tuple[RGB, ...]
    tally: Tally
    behind: RGB | None = None
    at: int = -1  # which mask is being painted
    left_to_paint: Mask
    before: tuple[RGB, ...]  # the pictures when its turn came
    front: Canvas | None = None  # what this one is painted to stand behind
    in_studio: bool = False  # whether what was painted is a thing, cut out of a plain ground
    notes: tuple[str, ...] = ()  # what did not go as asked in its last frame

    @classmethod
    def bare(cls, decided: Plan) -> Canvas:
        """The canvas of an edit before anything is painted. ImageError for a picture that cannot
        be edited."""
        image = decided.request.image
        source = blank(decided.size) if image is None else Source(image)
        if any(decided.margins):
            source = extend(source, decided.margins)
        left, top, right, bottom = decided.box
        masks = tuple(one.mask[top:bottom, left:right] for one in decided.drawn)
        pictures = (source.view(decided.box),)
        return cls(
            source=source, box=decided.box, masks=masks, pictures=pictures, left_to_paint=masks[0],
            before=pictures, tally=Tally.of(decided.seeds),
        )  # fmt: skip

    @property
    def name(self) -> bytes:
        """A name of what there is to be seen and to be painted."""
        return fingerprint(*self.pictures, *self.masks)

    def turned_to(self, one: Pass) -> Canvas:
        """Ready for a pass: the next mask's, or one that is painted on a canvas of its own, to
        stand ``behind`` this one. What later masks will cover is hidden from the model until their
        turn comes."""
        if one.role == "behind":
            return replace(self.afresh(one), front=self)
        at = self.at + 1
        return replace(
            self, at=at, left_to_paint=self.masks[at], before=self.pictures, in_studio=False
        )

    def afresh(self, one: Pass) -> Canvas:
        """As if nothing but this pass were to be painted, and nothing had been."""
        left, top, right, bottom = self.box
        mask = one.mask[top:bottom, left:right]
        tally = Tally.of(one.seeds)
        return replace(self, masks=(mask,), at=0, left_to_paint=mask, tally=tally)

    def turned_back(self, behind: RGB) -> Canvas:
        """The canvas that this one was for, with what stands behind it."""
        assert self.front is not None
        return replace(self.front, behind=behind)

    def as_it_was(self, one: Pass) -> RGB | None:
        """The picture as it is, where that may stand behind a thing: because it is asked to
        (``around``), or because the mask holds nothing that has to go. Else None."""
        kept = one.around == "keep"
        if one.around == "auto":
            kept = not holds_something(self.pictures[0], self.masks[0])
        return self.pictures[0] if kept else None

    def seen(self, one: Pass, window: Window) -> list[Frame]:
        """What the model sees through ``window`` (in source pixels): one frame a picture, or a
        plain ground where a thing is to be drawn before one."""
        later, mask = self.masks[self.at + 1 :], self.masks[self.at]
        hidden = np.logical_or.reduce(later) & ~mask if later else None
        local = Window(window.left - self.box[0], window.top - self.box[1], window.side)
        frames = [
            Frame.cut(each, self.left_to_paint, local, one.side, hidden) for each in self.pictures
        ]
        return [staged(frames[0])] if one.studio and holds_thing(frames[0].mask) else frames

    def painted(
        self, one: Pass, frames: Sequence[Frame], drawn: Drawn, chosen: Sequence[int]
    ) -> Canvas:
        """With a finished picture a variation, painted through their common window. ``chosen``
        are the variations so far that go on."""
        done = list(self._painted(one, frames, drawn.pictures, len(drawn.pictures)))
        missing = [seed for seed, (_, found) in zip(one.seeds, done, strict=True) if not found]
        unheard = one.unheard if frames[0].studio else ()
        left_to_paint = self.left_to_paint.copy()
        left, top, right, bottom = frames[0].box
        left_to_paint[top:bottom, left:right] = False
        known = [] if one.role == "new" else frames
        return replace(
            self,
            pictures=tuple(canvas for canvas, _ in done),
            left_to_paint=left_to_paint,
            tally=self.tally.among(chosen).added(drawn, known, guided=one.guided),
            in_studio=self.in_studio or frames[0].studio,
            notes=(
                *(STAGED.format(name) for name in unheard),
                *drawn.notes,
                *(NOTHING.format(seed) for seed in missing),
            ),
        )

    def detailed(self, one: Pass) -> Generator[float, None, Canvas]:
        """With what was painted made anew of the picture itself, wherever it has something that
        fits, if the pass asks for it; a thing from the studio stays as it was drawn. It is drawn
        with the seed of the last scale. Yields the share of the work that is done."""
        if one.finish.detail != "picture" or self.in_studio:
            return self
        shared = one.coarse_seeds[len(one.scales) - 1 : len(one.scales)]
        mask, shown = self.masks[self.at], []
        for index, picture in enumerate(self.pictures):
            before = self.before[index * len(self.before) // len(self.pictures)]
            seeds = shared or one.seeds
            seed = seeds[index * len(seeds) // len(self.pictures)]
            work = filling(before, mask, picture, seed=seed)
            canvas = picture.copy()
            for piece in (yield from told(work, partial(_of_all, index, len(self.pictures)))):
                piece.paste(canvas)
            if one.finish.feather > 0:
                box = (0, 0, mask.shape[1], mask.shape[0])
                weight = fade_in(mask, box, one.finish.feather)[mask][:, None]
                canvas[mask] = to_bytes(before[mask] * (1 - weight) + canvas[mask] * weight)
            shown.append(canvas)
        return replace(self, pictures=tuple(shown))

    def preview(
        self, one: Pass, frames: Sequence[Frame], pictures: Sequence[Floats], side: int, count: int
    ) -> list[Image.Image]:
        """The whole picture as it would be with the first ``count`` of the variations' ``pictures``
        painted, fitted into ``side``.
        """
        base = self.source.thumbnail(side)
        across, down = base.width / self.source.width, base.height / self.source.height
        left, right = (round(self.box[i] * across) for i in (0, 2))
        top, bottom = (round(self.box[i] * down) for i in (1, 3))
        size = (max(right - left, 1), max(bottom - top, 1))
        shown = []
        for canvas, _ in self._painted(one, frames, pictures, count):
            small = cv2.resize(canvas, size, interpolation=cv2.INTER_AREA)
            whole = base.copy()
            whole.paste(Image.fromarray(small), (left, top))
            shown.append(whole)
        return shown

    def chosen(self, decided: Plan) -> list[int]:
        """The variations that are returned, by their numbers: the best first where they are
        ranked, else the first."""
        scores = self.tally.scores
        order = best_first(scores) if decided.ranked else list(range(len(scores)))
        return order[: decided.shown]

    def finished(self, chosen: Sequence[int]) -> Sequence[Image.Image]:
        """The ``chosen`` pictures, in that order, in the source's mode. Large ones are made
        whenever they are asked for, so that they need not all be in memory.

        Each is checked against the source: DamageError if a pixel outside the masks differs.
        """
        assert not self.left_to_paint.any(), "a part of the mask was never painted"
        made = _Finished(self, tuple(chosen), np.logical_or.reduce(self.masks))
        size = len(made) * self.source.width * self.source.height * 4
        return tuple(made) if size <= LARGE else made

    def _behind(self, variation: int) -> RGB | None:
        """The backdrop; where an earlier mask was painted that is what the next one stands on."""
        if self.behind is None or not self.at:
            return self.behind
        done = np.logical_or.reduce(self.masks[: self.at])
        return np.where(done[..., None], self.before[variation], self.behind)

    def _painted(
        self, one: Pass, frames: Sequence[Frame], pictures: Sequence[Floats], count: int
    ) -> Iterator[tuple[RGB, bool]]:
        """Each variation's canvas with the frame's picture in it, and whether anything is drawn."""
        for index, picture in enumerate(pictures[:count]):
            canvas = self.pictures[index * len(self.pictures) // len(pictures)].copy()
            seen = frames[index * len(frames) // len(pictures)]
            drawn = composite(
                canvas,
                self.left_to_paint,
                seen,
                picture,
                one.finish,
                rim=one.keeping.rim(seen.hole),
                edge=self.masks[self.at],
                behind=self._behind(index * len(self.before) // len(pictures)),
            )
            yield canvas, drawn


class _Finished(Sequence[Image.Image]):
    """Results that are made when they are asked for."""

    def __init__(self, canvas: Canvas, chosen: tuple[int, ...], mask: Mask) -> None:
        self._source, self._box, self._mask = canvas.source, canvas.box, mask
        self._pictures = tuple(canvas.pictures[index] for index in chosen)

    def __len__(self) -> int:
        return len(self._pictures)

    @overload
    def __getitem__(self, at: int) -> Image.Image: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Image.Image]: ...
    def __getitem__(self, at: int | slice) -> Image.Image | Sequence[Image.Image]:
        if isinstance(at, slice):
            return [self[index] for index in range(len(self))[at]]
        source = self._source
        image = source.patch(self._box, self._pictures[at], self._mask)
        if not same_outside(source.image, image, self._box, self._mask):
            raise DamageError(
                "a pixel outside the mask would have changed, so nothing was handed over; "
                "this is a fault of varpaint: please report it with the picture's mode "
                f"({source.image.mode})"
            )
        return image


def told(
    work: Generator[float, None, Done], change: Callable[[float], Told]
) -> Generator[Told, None, Done]:
    """The same work, which yields instead of each share that is done ``change`` of it."""
    while True:
        try:
            share = next(work)
        except StopIteration as end:
            done: Done = end.value
            return done
        yield change(share)


def _of_all(number: int, count: int, share: float) -> float:
    """The share of all work that is done when so much of the ``number``th is."""
    return (number + share) / count
