"""A picture with a part of it to be painted, frame by frame, in several variations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import cv2
import numpy as np
from PIL import Image

from engine.arrays import RGB, Box, Floats, Mask, Window, fingerprint
from engine.paint.frame import Frame
from engine.picture.source import Source, same_outside, thumbnail
from engine.plan.rules import Rule


class Painting:
    """The canvases of an edit. Until the first frame is done all variations share one.

    ``parts`` are masks (H, W) that are painted one after the other; where they overlap, the later
    one lies on top. ``box`` is the part of the source that matters; canvases cover that part only.
    ``view`` is what the source shows there, if that is known.
    Pixels outside all masks are never written.
    """

    def __init__(
        self, source: Source, parts: Sequence[Mask], box: Box, view: RGB | None = None
    ) -> None:
        left, top, right, bottom = box
        self.source = source
        self.box = box
        self.parts = [mask[top:bottom, left:right] for mask in parts]
        self.canvases = [source.view(box) if view is None else view]
        self.behind: RGB | None = None  # a canvas that shows where nothing is drawn before it
        self.begin(0)

    def afresh(self, parts: Sequence[Mask]) -> Painting:
        """Another painting of the same part of the source, as it was."""
        return Painting(self.source, parts, self.box, self.canvases[0])

    @property
    def name(self) -> bytes:
        """A name of what there is to be seen and to be painted."""
        return fingerprint(*self.canvases, *self.parts)

    def begin(self, part: int) -> None:
        """Turn to a part. What later parts will cover is hidden from the model until then."""
        self.part = self.parts[part]
        self.left_to_paint = self.part.copy()
        later = self.parts[part + 1 :]
        self.hidden = np.logical_or.reduce(later) & ~self.part if later else None
        self.done = np.logical_or.reduce(self.parts[:part]) if part else None
        self.before = list(self.canvases)
        self.missing: list[int] = []  # the variations in which nothing was drawn, see `Frame`

    def frames(self, window: Window, side: int) -> list[Frame]:
        """What the model sees through ``window`` (in source pixels): one frame a canvas."""
        local = Window(window.left - self.box[0], window.top - self.box[1], window.side)
        return [Frame.cut(c, self.left_to_paint, local, side, self.hidden) for c in self.canvases]

    def apply(self, frames: list[Frame], pictures: list[Floats], rule: Rule) -> None:
        """Paint one finished picture a variation through their common window."""
        self.missing = []
        self.canvases = list(self._painted(frames, pictures, rule))
        left, top, right, bottom = frames[0].window.clip(*self.left_to_paint.shape[::-1])
        self.left_to_paint[top:bottom, left:right] = False

    def preview(
        self, frames: list[Frame], pictures: list[Floats], rule: Rule, side: int, count: int
    ) -> list[Image.Image]:
        """The whole picture as it would be with the first ``count`` of the variations' ``pictures``
        applied, fitted into ``side``.

        Without grain: until the last scale the model makes nothing yet of the known area.
        """
        rule = replace(rule, grain=0.0)
        base = thumbnail(self.source.image, side)
        across, down = base.width / self.source.width, base.height / self.source.height
        left, right = (round(self.box[i] * across) for i in (0, 2))
        top, bottom = (round(self.box[i] * down) for i in (1, 3))
        size = (max(right - left, 1), max(bottom - top, 1))
        shown = []
        for canvas in self._painted(frames, pictures, rule, count):
            small = cv2.resize(canvas, size, interpolation=cv2.INTER_AREA)
            whole = base.copy()
            whole.paste(Image.fromarray(small), (left, top))
            shown.append(whole)
        return shown

    def finish(self, chosen: Sequence[int] | None = None) -> list[Image.Image]:
        """The finished pictures (``chosen`` ones, in that order) in the source's mode.

        Each is checked against the source: no pixel outside the masks may differ.
        """
        assert not self.left_to_paint.any(), "a part of the mask was never painted"
        mask = np.logical_or.reduce(self.parts)
        images = []
        for index in range(len(self.canvases)) if chosen is None else chosen:
            canvas = self.canvases[index]
            image = self.source.patch(self.box, canvas, mask)
            unharmed = same_outside(self.source.image, image, self.box, mask)
            assert unharmed, "a pixel outside the mask changed"
            images.append(image)
        return images

    def _behind(self, variation: int) -> RGB | None:
        """The backdrop; where an earlier part was painted that is what the next one stands on."""
        if self.behind is None or self.done is None:
            return self.behind
        return np.where(self.done[..., None], self.before[variation], self.behind)

    def _painted(
        self, frames: list[Frame], pictures: list[Floats], rule: Rule, count: int | None = None
    ) -> Iterator[RGB]:
        """The canvases with the frame's pictures in them, one after the other."""
        for index, picture in enumerate(pictures[:count]):
            canvas = self.canvases[index * len(self.canvases) // len(pictures)].copy()
            frame = frames[index * len(frames) // len(pictures)]
            drawn = frame.composite(
                canvas,
                self.left_to_paint,
                picture,
                blend=rule.blend,
                match_colour=rule.match_colour,
                grain=rule.grain,
                grow=rule.rim(frame.hole),
                feather=rule.feather,
                edge=self.part,
                behind=self._behind(index * len(self.before) // len(pictures)),
            )
            if not drawn:
                self.missing.append(index)
            yield canvas
