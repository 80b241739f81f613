"""A picture with a part of it to be painted, frame by frame, in several variations."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image

from engine.fill import Floats
from engine.frame import Frame
from engine.pixels import Box, Mask, Source, same_outside, thumbnail
from engine.rules import Rule
from engine.windows import Window


class Painting:
    """The canvases of an edit. Until the first frame is done all variations share one.

    ``mask`` (H, W) is all that is to be painted, ``box`` the part of the source that matters;
    canvases cover that part only. Pixels outside the mask are never written.
    """

    def __init__(self, source: Source, mask: Mask, box: Box) -> None:
        left, top, right, bottom = box
        self.source = source
        self.box = box
        self.mask = mask[top:bottom, left:right]
        self.left_to_paint = self.mask.copy()
        self.canvases = [source.view(box)]

    def frames(self, window: Window, side: int) -> list[Frame]:
        """What the model sees through ``window`` (in source pixels): one frame a canvas."""
        local = Window(window.left - self.box[0], window.top - self.box[1], window.side)
        return [Frame.cut(c, self.left_to_paint, local, side) for c in self.canvases]

    def apply(self, frames: list[Frame], pictures: list[Floats], rule: Rule) -> None:
        """Paint one finished picture a variation through their common window."""
        self.canvases = self._painted(frames, pictures, rule)
        left, top, right, bottom = frames[0].window.clip(*self.left_to_paint.shape[::-1])
        self.left_to_paint[top:bottom, left:right] = False

    def preview(
        self, frames: list[Frame], pictures: list[Floats], rule: Rule, side: int
    ) -> list[Image.Image]:
        """The whole picture as it would be with ``pictures`` applied, fitted into ``side``."""
        base = thumbnail(self.source.image, side)
        across, down = base.width / self.source.width, base.height / self.source.height
        left, right = (round(self.box[i] * across) for i in (0, 2))
        top, bottom = (round(self.box[i] * down) for i in (1, 3))
        size = (max(right - left, 1), max(bottom - top, 1))
        shown = []
        for canvas in self._painted(frames, pictures, rule):
            small = cv2.resize(canvas, size, interpolation=cv2.INTER_AREA)
            whole = base.copy()
            whole.paste(Image.fromarray(small), (left, top))
            shown.append(whole)
        return shown

    def finish(self) -> list[Image.Image]:
        """The finished pictures in the source's mode, checked against the source."""
        assert not self.left_to_paint.any(), "a part of the mask was never painted"
        images = []
        for canvas in self.canvases:
            image = self.source.patch(self.box, canvas, self.mask)
            unharmed = same_outside(self.source.image, image, self.box, self.mask)
            assert unharmed, "a pixel outside the mask changed"
            images.append(image)
        return images

    def _painted(
        self, frames: list[Frame], pictures: list[Floats], rule: Rule
    ) -> list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
        painted = []
        for index, picture in enumerate(pictures):
            canvas = self.canvases[index * len(self.canvases) // len(pictures)].copy()
            frames[index * len(frames) // len(pictures)].composite(
                canvas,
                self.left_to_paint,
                picture,
                blend=rule.blend,
                feather=rule.feather,
                edge=self.mask,
            )
            painted.append(canvas)
        return painted
