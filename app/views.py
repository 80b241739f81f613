"""What of a picture the page shows: small, cut to where it was edited, beside the one before,
with its regions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from weakref import WeakKeyDictionary

import cv2
import numpy as np
from PIL import Image

from app import canvas, markup
from app.moments import Marked, Moment, Variation
from app.vault import Held
from engine.request import EditRequest

Box = tuple[float, float, float, float]  # left, top, right, bottom as parts of the sides

WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
SEEN_SIDE = canvas.PROXY_SIDE  # pixels of what lies over the canvas and of before and after
THUMB_SIDE = 192
AT_HAND = 3  # pictures as the page shows them, for results that are made from them
RIM = 2  # pixels around an edit that scaling down mixes with it
LADDER_SIDE = 96  # pixels of the small pictures of each scale
AROUND = 0.45  # of the edit's longer side: what a thumbnail shows around it
LEAST = 0.12  # of the picture's shorter side: no thumbnail shows less
SHAPE = 1.3  # width to height of a thumbnail
BESIDE = 3.0  # percent of the width between what was painted and where before and after meet
TINT = 0.45  # how much of a region's colour lies over the picture

_thumbs: WeakKeyDictionary[Held, Image.Image] = WeakKeyDictionary()
_edits: WeakKeyDictionary[Variation, Image.Image] = WeakKeyDictionary()
_urls: WeakKeyDictionary[Held, str] = WeakKeyDictionary()
_shown: WeakKeyDictionary[Held, Image.Image] = WeakKeyDictionary()  # the last few of them
_regions: WeakKeyDictionary[Moment, str] = WeakKeyDictionary()


def thumb(held: Held) -> Image.Image:
    """The picture small; made once, so that a long history is not read from disk again."""
    if held not in _thumbs:
        _thumbs[held] = canvas.proxy(held.image, THUMB_SIDE)
    return _thumbs[held]


def edit_thumb(variation: Variation) -> Image.Image:
    """A variation small: where it was edited, and a little around that."""
    if variation not in _edits:
        image = variation.image
        left, top, right, bottom = _box_of(variation.request.task, _masks_of(variation))
        box = (
            int(left * image.width), int(top * image.height),
            max(int(left * image.width) + 1, round(right * image.width)),
            max(int(top * image.height) + 1, round(bottom * image.height)),
        )  # fmt: skip
        part = image.crop(box)
        part.info = dict(image.info)
        _edits[variation] = canvas.proxy(part, THUMB_SIDE)
    return _edits[variation]


def edited_box(request: EditRequest) -> Box:
    """What of the result is edited, with a little around it; all of it for what is new."""
    masks = [region.mask for region in request.regions or ()]
    masks += [request.mask] if request.mask is not None else []
    return _box_of(request.task, masks)


def _box_of(task: str, masks: Sequence[Image.Image]) -> Box:
    if task not in ("inpaint", "edit_class") or not masks:
        return WHOLE
    return _with_some_around(_bounds(masks), masks[0].width / masks[0].height)


def _masks_of(variation: Variation) -> list[Image.Image]:
    """What was painted for it, at the canvas's size; its request may have let go of that."""
    base = variation.base
    if base is None:
        return []
    masks = [region.mask for region in base.regions] if variation.request.task != "inpaint" else []
    return masks + ([base.mask] if base.mask is not None else [])


def _bounds(masks: Iterable[Image.Image]) -> Box:
    """Around all that is white in any of them, as parts of the sides; all where nothing is."""
    boxes = [(mask.size, mask.convert("L").getbbox()) for mask in masks]
    parts = [
        (box[0] / size[0], box[1] / size[1], box[2] / size[0], box[3] / size[1])
        for size, box in boxes
        if box is not None
    ]
    if not parts:
        return WHOLE
    lefts, tops, rights, bottoms = zip(*parts, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def _with_some_around(box: Box, shape: float) -> Box:
    """The box grown to a thumbnail's shape; ``shape`` is the picture's width to its height."""
    left, top, right, bottom = box
    wide, high = (right - left) * shape, bottom - top  # in parts of the height
    some = 2 * AROUND * max(wide, high)
    wide, high = max(wide + some, LEAST), max(high + some, LEAST)
    wide, high = max(wide, high * SHAPE), max(high, wide / SHAPE)
    width, height = min(1.0, wide / shape), min(1.0, high)
    x = min(max((left + right - width) / 2, 0.0), 1.0 - width)
    y = min(max((top + bottom - height) / 2, 0.0), 1.0 - height)
    return x, y, x + width, y + height


def rung(image: Image.Image, box: Box) -> str:
    """The small picture of a scale, cut to ``box``, as a data URL."""
    places = tuple(
        round(part * side) for part, side in zip(box, (*image.size, *image.size), strict=True)
    )
    wide, high = max(1, places[2] - places[0]), max(1, places[3] - places[1])
    return markup.data_url(
        image.crop((places[0], places[1], places[0] + wide, places[1] + high)), LADDER_SIDE
    )


# ---- before and after ---------------------------------------------------------------------------


def before_url(variation: Variation) -> str:
    """Where it finds the picture before the edit, of the same shape; empty for none."""
    base = variation.base
    if base is None or variation.request.task == "generate":
        return ""
    if not any(variation.extension):
        return picture_url(base.held)
    size = canvas.proxy_size(variation.held.size, SEEN_SIDE)
    return canvas.url(_widened(base.image, variation.extension, size))


def picture_url(held: Held) -> str:
    """Where the page finds a picture, as large as the canvas shows it; for canvas and results the
    same, so that a browser that has seen it need not ask again."""
    known = _urls.get(held)
    if known is None or not Path(canvas.file_of(known)).is_file():  # Gradio clears old ones away
        known = _at(held, canvas.shown(held.image, SEEN_SIDE))
    return known


def result_url(variation: Variation) -> str:
    """The same for a result. Where the picture that it was made from is at hand, only what was
    painted over is made anew: the rest is as it was."""
    held, base = variation.held, variation.base
    before = None if base is None else _shown.get(base.held)
    boxes = [box for box in (mask.getbbox() for mask in _masks_of(variation)) if box is not None]
    painted = variation.request.task in ("inpaint", "edit_class") and bool(boxes)
    if held in _urls or before is None or held.size != base.held.size or not painted:
        return picture_url(held)
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    box = (
        max(min(lefts) - RIM, 0), max(min(tops) - RIM, 0),
        min(max(rights) + RIM, before.width), min(max(bottoms) + RIM, before.height),
    )  # fmt: skip
    part = canvas.proxy_part(held.image, box)
    if part is None:
        return picture_url(held)
    after = before.copy()
    after.paste(part, box[:2])
    return _at(held, after)


def _at(held: Held, shown: Image.Image) -> str:
    """Where the page finds a picture from now on; a few of them stay at hand."""
    _shown[held] = shown
    for old in list(_shown)[:-AT_HAND]:
        _shown.pop(old, None)
    _urls[held] = url = canvas.url(shown)
    return url


def _widened(
    image: Image.Image, extension: tuple[int, int, int, int], size: tuple[int, int]
) -> Image.Image:
    """A picture on a checkerboard of ``size`` that stands for its extension."""
    left, top, right, bottom = extension
    width, height = image.width + left + right, image.height + top + bottom
    factor = size[0] / width, size[1] / height
    box = (round(left * factor[0]), round(top * factor[1]))
    inner = (max(1, round(image.width * factor[0])), max(1, round(image.height * factor[1])))
    sheet = canvas.checkerboard(size)
    sheet.paste(canvas.proxy(image, SEEN_SIDE).resize(inner), box)
    return sheet


def mask_url(moment: Moment) -> str:
    """Where the page finds what is painted over the picture; empty for nothing."""
    held = moment.held_mask
    if held is None or held.image.getbbox() is None:
        return ""
    known = _urls.get(held)
    if known is None or not Path(canvas.file_of(known)).is_file():
        known = _urls[held] = canvas.layer_url(held.image)
    return known


def divide(variation: Variation) -> float:
    """Where before and after meet, in percent of the width: left of all that was painted, so that
    the edit is seen whole; in the middle of a picture that was extended."""
    if variation.base is None or any(variation.extension):
        return 50.0
    boxes = [(mask.getbbox(), mask.width) for mask in _masks_of(variation)]
    edges = [box[0] / width for box, width in boxes if box is not None]
    return float(np.clip(100 * min(edges, default=0.5) - BESIDE, BESIDE, 50.0))


def regions_url(moment: Moment) -> str:
    """Where the page finds the picture's regions, to lay over it; empty where it has none."""
    if not moment.regions:
        return ""
    known = _regions.get(moment)
    if known is None or not Path(canvas.file_of(known)).is_file():
        known = _regions[moment] = canvas.url(tints(moment.regions))
    return known


def tints(regions: Sequence[Marked]) -> Image.Image:
    """Each region in its colour, half clear, with an edge that is not; RGBA of their size."""
    pixels = np.zeros((*np.shape(regions[0].mask)[:2], 4), np.uint8)
    for region in regions:
        inside = np.asarray(region.mask) >= 128
        rim = inside & (cv2.erode(inside.astype(np.uint8), np.ones((5, 5), np.uint8)) == 0)
        pixels[inside] = (*markup.REGION_COLOURS[region.colour], round(255 * TINT))
        pixels[rim, 3] = 255
    return Image.fromarray(pixels)
