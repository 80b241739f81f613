"""How good a variation is without knowing the truth, to show the best ones first.

Signs of a bad one: an edge along the mask that the picture has not elsewhere; tokens that the model
itself finds unlikely; and, where a class was asked for, tokens that do not speak for it. Pictures
are (S, S, 3) floats in 0..255, masks (S, S) bool.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from engine.arrays import Floats, Mask
from engine.errors import CheckpointError
from engine.frames.frame import TOUCHED, Frame

SEAM_WEIGHT = 0.5  # nats a token that a seam e times as strong costs, without a label ...
LABELLED_SEAM_WEIGHT = 2.0  # ... and with one
NEIGHBOURHOOD = 8  # width in pixels, on either side of the edge, of what a seam is compared with
CALM = 2.0  # added to both gradients (of 255), so that flat neighbourhoods do not exaggerate


@dataclass(frozen=True)
class Drawn:
    """A finished frame: a picture (S, S, 3) in 0..255 a variation, and what ranks them.

    ``likelihood`` and ``evidence`` (B,) are sums over the ``tokens`` drawn a variation, in nats;
    ``notes`` tells where the run had to step down. CheckpointError if any of them is no number.
    """

    pictures: tuple[Floats, ...]
    likelihood: Floats
    evidence: Floats
    tokens: int
    notes: tuple[str, ...]

    def __post_init__(self) -> None:
        if not all(np.isfinite(each).all() for each in (self.likelihood, *self.pictures)):
            raise CheckpointError(
                "the model's networks give no numbers: its weights are damaged, or half precision "
                "is too small for them; run: python -m engine models verify, or take --precision "
                "float32"
            )


@dataclass(frozen=True)
class Tally:
    """What ranks the candidates of an edit, added up over its frames. It never changes: a frame
    gives another one."""

    seeds: tuple[int, ...]
    seams: tuple[tuple[float, ...], ...]  # a candidate's, one for each of its frames
    likelihood: Floats  # (B,), of all that was drawn
    evidence: Floats
    tokens: int = 0
    guided: bool = False

    @classmethod
    def of(cls, seeds: Sequence[int]) -> Tally:
        """Before the first frame."""
        nothing = np.zeros(len(seeds))
        return cls(tuple(seeds), ((),) * len(seeds), nothing, nothing)

    def among(self, some: Sequence[int]) -> Tally:
        """Of some of the candidates, by their numbers."""
        at = list(some)
        return replace(
            self,
            seeds=tuple(self.seeds[index] for index in at),
            seams=tuple(self.seams[index] for index in at),
            likelihood=self.likelihood[at],
            evidence=self.evidence[at],
        )

    def added(self, drawn: Drawn, seen: Sequence[Frame], *, guided: bool) -> Tally:
        """With a finished frame, and what the model was shown of the picture, if anything."""
        seams = []
        for variation, (picture, before) in enumerate(zip(drawn.pictures, self.seams, strict=True)):
            frame = seen[variation * len(seen) // len(drawn.pictures)] if seen else None
            if frame is not None and not frame.studio:  # what meets the ground there is cut away
                before = (*before, seam(frame.pixels, picture, frame.mask > TOUCHED))
            seams.append(before)
        return replace(
            self,
            seams=tuple(seams),
            likelihood=self.likelihood + drawn.likelihood,
            evidence=self.evidence + drawn.evidence,
            tokens=self.tokens + drawn.tokens,
            guided=self.guided or guided,
        )

    @property
    def scores(self) -> tuple[float, ...]:
        """One score a candidate, higher is better."""
        count = max(self.tokens, 1)
        return tuple(
            score(float(likely) / count, seams, float(spoken) / count if self.guided else None)
            for likely, spoken, seams in zip(
                self.likelihood, self.evidence, self.seams, strict=True
            )
        )


def seam(known: Floats, picture: Floats, hole: Mask) -> float:
    """The gradient across the hole's edge, as a multiple of that of its neighbourhood.

    ``known`` is what was there, ``picture`` the model's output before any blending. 1 is an edge
    like any other place nearby; 1 where there is no edge.
    """
    pasted = np.where(hole[..., None], picture, known)
    kernel = np.ones((2 * NEIGHBOURHOOD + 1,) * 2, np.uint8)
    inside = hole.astype(np.uint8)
    near = (cv2.dilate(inside, kernel) > 0) & (cv2.erode(inside, kernel) == 0)
    across, beside = [], []
    for axis in (0, 1):
        steps = np.abs(np.diff(pasted, axis=axis)).mean(axis=-1)
        crossing = np.diff(inside, axis=axis) != 0
        first, last = (slice(None, -1), slice(1, None))
        pair = (first, last) if axis == 0 else ((slice(None), first), (slice(None), last))
        band = near[pair[0]] & near[pair[1]] & ~crossing
        across.append(steps[crossing])
        beside.append(steps[band])
    edge, rest = np.concatenate(across), np.concatenate(beside)
    if not edge.size or not rest.size:
        return 1.0
    return float((edge.mean() + CALM) / (rest.mean() + CALM))


def score(likelihood: float, seams: Sequence[float], evidence: float | None = None) -> float:
    """Higher is better; likelihood and evidence are means over the drawn tokens, in nats.

    Without a label: the log-likelihood, less the seam's log. With one: the evidence for the label,
    log p(token | label) - log p(token | no label), less the seam's log.
    """
    worth, weight = likelihood, SEAM_WEIGHT
    if evidence is not None:
        worth, weight = evidence, LABELLED_SEAM_WEIGHT
    return worth - weight * float(np.log(np.mean(seams))) if seams else worth


def best_first(scores: Sequence[float]) -> list[int]:
    """Indices by falling score; equal ones in their own order."""
    return sorted(range(len(scores)), key=lambda index: -scores[index])
