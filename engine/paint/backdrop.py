"""What a thing that is asked for stands before: around it the hole as inpainted shows.

A class edit draws a thing and fills the rest of its hole with whatever goes with such a thing,
more softly than the picture is, so that the thing stands in a patch. The same hole inpainted
without a label, with more of the picture in sight and with its own detail, goes on better. So the
thing is cut out of what was drawn, and the inpainted picture shows around it. What is drawn in a
studio (`engine.paint.studio`) is cut out there.

Pictures are (S, S, 3) float32 in 0..255, of the model's square; masks (S, S) bool.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.arrays import Floats, Mask, to_bytes
from engine.paint.studio import CUTTING, LEAST, difference, filled, grab, scaled

# Root mean square difference of colours up to which the backdrop shows, and from which it does not;
# where nothing can be cut out of what was drawn.
ALIKE, UNLIKE = 14.0, 32.0
THING = 24.0  # the difference from which a pixel may belong to a thing
SMOOTH = 1 / 85  # standard deviation, of the side, of the blur before colours are compared
AROUND = 12  # pixels around the hole, where things are cut out, whose colours are a backdrop's
WHOLE = 0.7  # part of it that the largest piece has, unless the thing fell to pieces
CONFIDENT = 0.55  # part of what is unlike that is cut out, unless some of the thing was lost


def shares(picture: Floats, backdrop: Floats, hole: Mask) -> Floats:
    """How much of ``backdrop`` shows at each pixel, (S, S) float32 in 0..1; 1 outside the hole.

    None of it on the thing that was drawn, if one can be cut out (`_thing`). Where none can, it
    shows where both are alike in colour, from the hole's edge inward.
    """
    side = picture.shape[0]
    sigma = max(side * SMOOTH, 0.5)
    apart = cv2.GaussianBlur((picture - backdrop).astype(np.float32), (0, 0), sigma)
    unlike = difference(apart)
    thing = _thing(picture, backdrop, hole, unlike > THING)
    if thing is None:
        share = cv2.erode(_alike(unlike, hole), np.ones((3, 3), np.uint8))
    else:
        share = (cv2.resize(thing.astype(np.float32), (side, side)) <= 0.5).astype(np.float32)
    soft: Floats = cv2.GaussianBlur(share, (0, 0), sigma / 2)
    return np.where(hole, soft, 1).astype(np.float32)


def _alike(unlike: Floats, hole: Mask) -> Floats:
    """1 where colours are alike, 0 where they are not.

    Only what is joined with the known area through pixels that are alike: a patch in a thing's
    middle that happens to have the backdrop's colour is part of the thing.
    """
    alike = (unlike < UNLIKE) | ~hole
    _, parts = cv2.connectedComponents(alike.astype(np.uint8))
    joined = alike & np.isin(parts, np.unique(parts[~hole]))
    share = np.clip((UNLIKE - unlike) / (UNLIKE - ALIKE), 0, 1) * joined
    return np.where(hole, share, 1).astype(np.float32)


def _thing(picture: Floats, backdrop: Floats, hole: Mask, unlike: Mask) -> Mask | None:
    """The thing drawn in a hole, (CUTTING, CUTTING) bool; None if none is cut out with confidence.

    GrabCut: what is ``unlike`` may be the thing or the haze around it; the
    hole's surroundings and the backdrop, which is laid beside the drawn picture for that, tell
    the colours of what is none.
    """
    size = (CUTTING, CUTTING)
    within = scaled(hole, CUTTING).astype(np.uint8)
    foreign = scaled(unlike, CUTTING) & (within > 0)
    guess = np.where(within > 0, cv2.GC_PR_BGD, cv2.GC_BGD).astype(np.uint8)
    guess[foreign & (cv2.erode(within, np.ones((3, 3), np.uint8)) > 0)] = cv2.GC_PR_FGD
    if (guess == cv2.GC_PR_FGD).sum() < LEAST:
        return None
    drawn, behind = (
        cv2.resize(to_bytes(each), size, interpolation=cv2.INTER_AREA)
        for each in (np.where(hole[..., None], picture, backdrop), backdrop)
    )
    wide = 2 * AROUND + 1
    near = cv2.boundingRect(cv2.dilate(within, np.ones((wide, wide), np.uint8)))
    rows, columns = slice(near[1], near[1] + near[3]), slice(near[0], near[0] + near[2])
    known = np.full((near[3], near[2]), cv2.GC_BGD, np.uint8)
    both = np.concatenate([drawn[rows, columns], behind[rows, columns]], axis=1)
    labels = np.concatenate([guess[rows, columns], known], axis=1)
    cut = np.zeros(within.shape, np.uint8)
    cut[rows, columns] = grab(both, labels, 1)[:, : near[2]]
    thing = whole_of(cut)
    if thing is None or (thing & foreign).sum() < CONFIDENT * foreign.sum():
        return None
    return thing


def whole_of(cut: NDArray[np.uint8]) -> Mask | None:
    """What was cut out, (S, S) of 0 and 1, as a thing: without specks and holes, a pixel wider.

    None if it is in pieces: then part of the thing was taken for what is around it.
    """
    count, _, stats, _ = cv2.connectedComponentsWithStats(cut, connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    if count < 2 or areas.max() < max(WHOLE * areas.sum(), LEAST):
        return None
    thing = filled(cut)
    assert thing is not None  # it is large enough
    return cv2.dilate(thing.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
