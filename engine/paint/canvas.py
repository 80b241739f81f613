"""The pictures of an edit under way, painted frame by frame, in several variations."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import overload

import cv2
import numpy as np
from PIL import Image

from engine.arrays import RGB, Box, Floats, Mask, Window, fingerprint, to_bytes
from engine.errors import DamageError
from engine.paint.composite import composite, fade_in
from engine.paint.exemplar.filling import Filling, Piece, filling
from engine.picture.frame import Frame
from engine.picture.source import LARGE, Source, same_outside
from engine.plan.plan import Pass


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
    behind: RGB | None = None
    at: int = 0  # which mask is being painted
    left_to_paint: Mask
    before: tuple[RGB, ...]  # the pictures when its turn came
    missing: tuple[int, ...] = ()  # the variations in whose last frame nothing was drawn

    @classmethod
    def of(
        cls, source: Source, masks: Sequence[Mask], box: Box, view: RGB | None = None
    ) -> Canvas:
        """Bare canvases; ``view`` is what the source shows in the box, if that is known."""
        left, top, right, bottom = box
        cut = tuple(mask[top:bottom, left:right] for mask in masks)
        pictures = (source.view(box) if view is None else view,)
        return cls(
            source=source, box=box, masks=cut, pictures=pictures, left_to_paint=cut[0],
            before=pictures,
        )  # fmt: skip

    @property
    def name(self) -> bytes:
        """A name of what there is to be seen and to be painted."""
        return fingerprint(*self.pictures, *self.masks)

    def afresh(self, mask: Mask) -> Canvas:
        """A bare canvas of the same part of the source, for another mask of its size."""
        return Canvas.of(self.source, [mask], self.box, self.pictures[0])

    def turned_to(self, at: int) -> Canvas:
        """Ready for another mask. What later masks will cover is hidden from the model until
        then."""
        return replace(self, at=at, left_to_paint=self.masks[at], before=self.pictures)

    def frames(self, window: Window, side: int) -> list[Frame]:
        """What the model sees through ``window`` (in source pixels): one frame a picture."""
        later, mask = self.masks[self.at + 1 :], self.masks[self.at]
        hidden = np.logical_or.reduce(later) & ~mask if later else None
        local = Window(window.left - self.box[0], window.top - self.box[1], window.side)
        return [Frame.cut(p, self.left_to_paint, local, side, hidden) for p in self.pictures]

    def painted(self, one: Pass, frames: Sequence[Frame], pictures: Sequence[Floats]) -> Canvas:
        """With one finished picture a variation, painted through their common window."""
        done = list(self._painted(one, frames, pictures, len(pictures)))
        missing = tuple(index for index, (_, drawn) in enumerate(done) if not drawn)
        left_to_paint = self.left_to_paint.copy()
        left, top, right, bottom = frames[0].window.clip(*left_to_paint.shape[::-1])
        left_to_paint[top:bottom, left:right] = False
        canvases = tuple(canvas for canvas, _ in done)
        return replace(self, pictures=canvases, left_to_paint=left_to_paint, missing=missing)

    def detailed(self, one: Pass, scales: int) -> Generator[float, None, Canvas]:
        """With what was painted made anew of the picture itself, wherever it has something that
        fits; yields the share that is done. It is drawn with the seed of the last of the
        ``scales``."""
        shared = one.coarse_seeds[scales - 1 : scales]
        mask, shown = self.masks[self.at], []
        for index, picture in enumerate(self.pictures):
            before = self.before[index * len(self.before) // len(self.pictures)]
            seeds = shared or one.seeds
            seed = seeds[index * len(seeds) // len(self.pictures)]
            work = filling(before, mask, picture, seed=seed)
            canvas = picture.copy()
            for piece in (yield from _shared(work, index, len(self.pictures))):
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


def _shared(work: Filling, number: int, of: int) -> Generator[float, None, list[Piece]]:
    """A piece of work as one of several: passes on the share of all that is done."""
    while True:
        try:
            share = next(work)
        except StopIteration as end:
            pieces: list[Piece] = end.value
            return pieces
        yield (number + share) / of
