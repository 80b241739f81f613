"""What a thing that is asked for stands before: around it the hole as inpainted shows.

A class edit draws a thing and fills the rest of its hole with whatever goes with such a thing,
more softly than the picture is, so that the thing stands in a patch. The same hole inpainted
without a label, with more of the picture in sight and with grain, goes on better. Where the two
are alike in colour, from the hole's edge inward, the class edit has drawn no thing, and the
inpainted picture shows.

Pictures are (S, S, 3) float32 in 0..255, of the model's square; masks (S, S) bool.
"""

from __future__ import annotations

import cv2
import numpy as np

from engine.fill import Floats
from engine.pixels import Mask

# Root mean square difference of colours up to which the backdrop shows, and from which it does not.
ALIKE, UNLIKE = 14.0, 32.0
SMOOTH = 1 / 85  # standard deviation, of the side, of the blur before colours are compared


def shares(picture: Floats, backdrop: Floats, hole: Mask) -> Floats:
    """How much of ``backdrop`` shows at each pixel, (S, S) float32 in 0..1; 1 outside the hole.

    Only what is joined with the known area through pixels that are alike: a patch in a thing's
    middle that happens to have the backdrop's colour is part of the thing.
    """
    sigma = max(picture.shape[0] * SMOOTH, 0.5)
    apart = cv2.GaussianBlur((picture - backdrop).astype(np.float32), (0, 0), sigma)
    unlike = np.sqrt((apart**2).mean(axis=2))
    alike = (unlike < UNLIKE) | ~hole
    _, parts = cv2.connectedComponents(alike.astype(np.uint8))
    joined = alike & np.isin(parts, np.unique(parts[~hole]))
    share = np.clip((UNLIKE - unlike) / (UNLIKE - ALIKE), 0, 1) * joined
    share = np.where(hole, share, 1).astype(np.float32)
    share = cv2.erode(share, np.ones((3, 3), np.uint8))
    soft: Floats = cv2.GaussianBlur(share, (0, 0), sigma / 2)
    return np.where(hole, soft, 1).astype(np.float32)
