"""A picture from an unfinished feature map without the decoder: previews of the coarse scales, and
all where decoding is slow.

A decoder costs as much as a large part of an edit, and after a preview at every scale the next one
would come late. To a coarse scale it has no detail to add. Colours are close to linear in the
features, so the known cells of the frame, whose colours are given, tell how to read the others.
"""

from __future__ import annotations

import cv2
import numpy as np
from torch import Tensor

from engine.arrays import Floats

ENOUGH = 1.5  # known cells needed, as a multiple of the feature map's channels
RIDGE = 1e-2


def rough_pictures(feature_map: Tensor, frames: list[Floats], known: Tensor) -> list[Floats] | None:
    """Pictures (side, side, 3) of 0..255 from feature maps (N, z, S, S), by ridge regression.

    ``frames`` are the P known pictures (side, side, 3), P dividing N, ``known`` (S, S) the cells
    without a masked pixel. None where too few are known.
    """
    channels, cells = feature_map.shape[1], feature_map.shape[-1]
    where = known.numpy().ravel()
    if where.sum() < ENOUGH * channels:
        return None
    pictures = []
    for index, one in enumerate(feature_map.float().cpu().numpy()):
        frame = frames[index * len(frames) // len(feature_map)]
        side = frame.shape[0]
        colours = cv2.resize(frame, (cells, cells), interpolation=cv2.INTER_AREA).reshape(-1, 3)
        design = np.concatenate([one.reshape(channels, -1).T, np.ones((cells * cells, 1))], axis=1)
        seen = design[where]
        square = seen.T @ seen + RIDGE * np.eye(channels + 1)
        weights = np.linalg.solve(square, seen.T @ colours[where])
        small = np.clip(design @ weights, 0, 255).reshape(cells, cells, 3).astype(np.float32)
        pictures.append(cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC))
    return pictures
