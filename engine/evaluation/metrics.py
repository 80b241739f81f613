"""What is measured. Pictures are (S, S, 3) floats in 0..255, masks (S, S) bool.

The perceptual distance is FLIP (Andersson et al. 2020): it needs no network and no download, is
kept up by its authors, was fitted to what people see when two pictures are flipped, and gives a
value a pixel, so that it can be averaged over a mask alone. 0 is the same, 1 is black on white.
LPIPS (`engine.evaluation.lpips`) stands beside it where `make data` has fetched its weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.evaluation.flip import Seen, flip, see

Floats = NDArray[Any]
Mask = NDArray[np.bool_]


def psnr(a: Floats, b: Floats, where: Mask | None = None) -> float:
    """Peak signal-to-noise ratio in dB, over ``where`` if given; 148 of equal pictures, where
    scikit-image's is infinite, which JSON cannot say."""
    difference = a.astype(np.float64) - b
    if where is not None:
        difference = difference[where]
    return float(10 * np.log10(255**2 / max(float(np.mean(difference**2)), 1e-10)))


def ssim(a: Floats, b: Floats) -> float:
    """Structural similarity (Wang et al. 2004), scikit-image's, Gaussian window."""
    from skimage.metrics import structural_similarity

    value = structural_similarity(
        a, b, channel_axis=2, data_range=255, gaussian_weights=True, sigma=1.5,
        use_sample_covariance=False,
    )  # fmt: skip
    return float(value)


def perceptual(reference: Floats, test: Floats, where: Mask) -> float:
    """Mean FLIP error over a mask."""
    return perceptual_seen(see(reference), see(test), where)


def perceptual_seen(reference: Seen, test: Seen, where: Mask) -> float:
    """The same, of pictures that have been prepared for it."""
    return float(flip(reference, test)[where].mean())


def edge_gradient(picture: Floats, mask: Mask) -> float:
    """Mean absolute difference between neighbouring pixels on either side of the mask's edge."""
    steps: list[Floats] = []
    for axis in (0, 1):
        crossing = np.diff(mask.astype(np.int8), axis=axis) != 0
        steps.append(np.abs(np.diff(picture.astype(np.float64), axis=axis))[crossing].ravel())
    every = np.concatenate(steps)
    return float(every.mean()) if every.size else 0.0


def diversity(pictures: list[Seen], where: Mask) -> float:
    """Mean pairwise FLIP of several results inside the mask."""
    return float(np.mean([perceptual_seen(a, b, where) for a, b in combinations(pictures, 2)]))


def group_interval(values: Sequence[float], groups: Sequence[str], seed: int) -> list[float]:
    """Bootstrap 95 % interval (BCa) of a mean of values of which those of a group go together."""
    from scipy.stats import bootstrap

    names = sorted(set(groups))
    each = [[v for v, g in zip(values, groups, strict=True) if g == name] for name in names]
    sums, counts = np.array([sum(some) for some in each]), np.array([len(some) for some in each])
    if len(names) < 2 or not np.ptp(sums / counts):
        return [float(np.mean(values))] * 2

    def mean(some: Floats, many: Floats, axis: int = -1) -> Floats:
        found: Floats = some.sum(axis=axis) / many.sum(axis=axis)
        return found

    found = bootstrap(
        (sums, counts), mean, paired=True, n_resamples=2000, rng=np.random.default_rng(seed)
    ).confidence_interval
    return [float(found.low), float(found.high)]


def interval(values: Sequence[float], rng: np.random.Generator, rounds: int = 1000) -> list[float]:
    """Bootstrap 95 % interval of a mean, scipy's BCa (Efron 1987); of equal values the value twice.

    Of paired differences, picture by picture, it is the interval of the mean difference.
    """
    from scipy.stats import bootstrap

    sample = np.asarray(values, np.float64)
    if len(sample) < 2 or not np.ptp(sample):
        return [float(sample.mean())] * 2
    found = bootstrap((sample,), np.mean, n_resamples=rounds, rng=rng).confidence_interval
    return [float(found.low), float(found.high)]
