"""What is known of a frame before anything is drawn in it, and what is kept of that."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from engine.arrays import Floats, Mask
from engine.draw.guidance import Label
from engine.draw.keeping import ClosedLoop, Keeper, Replay, each_for, tokens
from engine.fast.original import Original
from engine.fast.towers import Box
from engine.frames.frame import Frame
from engine.model.family import Scheme
from engine.plan.rules import Keeping


@dataclass(frozen=True)
class Known:
    """What is known of a frame: features (P, z, S, S), a name of them, and how the fast mode, if
    it serves here, gets round the rest."""

    name: bytes
    features: Tensor
    original: Original | None = None
    before: Floats | None = None  # the picture that ``original`` is of
    positions: tuple[Tensor, ...] | None = None  # what the fast mode computes of each scale


@torch.inference_mode()
def keeper_of(
    scheme: Scheme,
    keeping: Keeping,
    features: Tensor,
    frame: Frame,
    maps: list[Tensor],
    rows: int,
) -> Keeper:
    """What is known of pictures with ``features`` (P, z, S, S), as ``rows`` of them, by the
    ``frame`` that one or each of them is."""
    if keeping.paper:
        return Replay(scheme, tokens(scheme, each_for(features, rows))[0])
    foresight = None
    if keeping.foresight:  # it was trained on what a picture's own tokens make of it
        own = [tokens(scheme, one[None])[1] for one in features]
        foresight = each_for(torch.cat(own), rows)
    hole = frame.grown(keeping.rim(frame.hole)).hole
    return ClosedLoop(
        scheme,
        each_for(features, rows),
        regenerate=maps[-1],
        hole=torch.from_numpy(hole.astype(np.float32)),
        strength=keeping.half_known,
        foresight=foresight,
    )


def distinct(labels: tuple[int | None, ...]) -> Label:
    """The one label of all variations, or all of them where they differ."""
    return labels[0] if len(set(labels)) == 1 else labels


def for_each(pictures: list[Floats], count: int) -> list[Floats]:
    """N pictures as those of ``count`` variations, count / N side by side to each."""
    return [picture for picture in pictures for _ in range(count // len(pictures))]


def bounds(mask: Mask) -> Box:
    """(top, left, bottom, right) around what is True; all 0 if nothing is."""
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    return top, left, top + height, left + width
