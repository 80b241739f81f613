"""The classifier that judges edits: what is in the edited region, and how alike two sets are.

A small residual network (He et al. 2016) on square crops, trained by `judge_training` on the
bundled model's domain: its object classes, its kinds of scenery, and "plain" for a backdrop without
anything. The layer before the last gives the features for Fréchet and kernel distance.
Crops are (side, side, 3) uint8 RGB, results float arrays.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn import functional as F

from engine import CheckpointError
from engine.arrays import RGB, Mask
from engine.plan.windows import box_of

CLASSIFIER = Path(__file__).parents[2] / "weights" / "evaluation" / "domain-classifier.safetensors"
SIDE = 96  # of a crop
STEM = 4
WIDTHS, BLOCKS = (32, 64, 128, 224), (1, 2, 2, 1)
MARGIN = 1.15  # side of the crop around a region, of the region's longer side
BATCH = 64
PLAIN = "plain"  # the class of a backdrop that is neither an object nor a photo

Vectors = NDArray[np.float64]


class _Block(nn.Module):
    """Two 3 x 3 convolutions and a short cut, halving the side with ``stride`` 2."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)
        same = before == after and stride == 1
        self.short = (
            nn.Identity()
            if same
            else nn.Sequential(nn.AvgPool2d(stride), nn.Conv2d(before, after, 1))
        )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.short(x))


class DomainClassifier(nn.Module):
    """Pixels (B, 3, side, side) in [-1, 1] to logits (B, classes) and features (B, width)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, WIDTHS[0], STEM, STEM)]
        before = WIDTHS[0]
        for level, (width, count) in enumerate(zip(WIDTHS, BLOCKS, strict=True)):
            for index in range(count):
                halves = level > 0 and index == 0
                layers.append(_Block(before, width, 2 if halves else 1))
                before = width
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(before, classes)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        features = self.body(pixels).mean((2, 3))  # (B, width)
        return self.head(features), features


@dataclass(frozen=True)
class Judge:
    """A trained classifier with its class names."""

    net: DomainClassifier
    classes: tuple[str, ...]

    @classmethod
    def load(cls, path: Path = CLASSIFIER) -> Judge:
        """Raises CheckpointError if the file is not a classifier of this kind."""
        try:
            with safe_open(path, "pt") as opened:
                metadata = opened.metadata() or {}
                weights = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        except Exception as error:
            raise CheckpointError(f"{path}: not a classifier's weights ({error})") from None
        if "classes" not in metadata:
            raise CheckpointError(f"{path}: has no class names; train it with train-classifier")
        classes = tuple(json.loads(metadata["classes"]))
        net = DomainClassifier(len(classes))
        try:
            net.load_state_dict(
                {n: w.float() if w.is_floating_point() else w for n, w in weights.items()}
            )
        except RuntimeError:
            raise CheckpointError(
                f"{path}: the weights do not fit this version; train it again"
            ) from None
        return cls(net.eval().requires_grad_(False), classes)

    @classmethod
    def for_classes(cls, names: Sequence[str], path: Path = CLASSIFIER) -> Judge | None:
        """The classifier if it is there and knows all these classes, else None."""
        if not path.is_file():
            return None
        judge = cls.load(path)
        return judge if set(names) <= set(judge.classes) else None

    @torch.inference_mode()
    def look(self, crops: Sequence[RGB]) -> tuple[Vectors, Vectors]:
        """Logits (N, classes) and features (N, width) of crops of this classifier's side."""
        logits, features = [], []
        for start in range(0, len(crops), BATCH):
            batch = torch.from_numpy(np.stack(crops[start : start + BATCH]))
            pixels = batch.permute(0, 3, 1, 2).float() / 127.5 - 1  # (B, 3, side, side)
            some = self.net(pixels)
            logits.append(some[0].double().numpy())
            features.append(some[1].double().numpy())
        return np.concatenate(logits), np.concatenate(features)


def crop_around(picture: RGB, mask: Mask) -> RGB:
    """The square around what is masked, with a margin, moved inside the picture; at SIDE px."""
    left, top, right, bottom = box_of(mask)
    height, width = mask.shape
    side = min(round(MARGIN * max(right - left, bottom - top)), height, width)
    x = min(max(round((left + right - side) / 2), 0), width - side)
    y = min(max(round((top + bottom - side) / 2), 0), height - side)
    square = picture[y : y + side, x : x + side]
    how = cv2.INTER_AREA if side >= SIDE else cv2.INTER_CUBIC
    crop: RGB = np.asarray(cv2.resize(square, (SIDE, SIDE), interpolation=how), np.uint8)
    return crop


def frechet_distance(real: Vectors, made: Vectors) -> float:
    """Fréchet distance of two sets of features (N, d) taken for Gaussians (Heusel et al. 2017).

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)). With fewer than some 2 d rows it is far too large,
    so compare values of the same N only.
    """
    shift = real.mean(0) - made.mean(0)
    first, second = (np.cov(rows, rowvar=False) for rows in (real, made))
    root = _root(first)
    cross = np.sqrt(np.clip(np.linalg.eigvalsh(root @ second @ root), 0, None)).sum()
    return float(shift @ shift + np.trace(first) + np.trace(second) - 2 * cross)


def _root(matrix: Vectors) -> Vectors:
    """The symmetric square root of a covariance."""
    values, vectors = np.linalg.eigh(matrix)
    root: Vectors = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    return root


def kernel_distance(real: Vectors, made: Vectors) -> float:
    """Unbiased squared MMD with the kernel (x.y / d + 1)^3 (Binkowski et al. 2018), N >= 2 rows.

    Without bias in N, around 0 for two samples of the same kind; it may be slightly negative.
    """
    width = real.shape[1]

    def kernel(a: Vectors, b: Vectors) -> Vectors:
        values: Vectors = (a @ b.T / width + 1) ** 3
        return values

    def within(rows: Vectors) -> float:
        values = kernel(rows, rows)
        return float((values.sum() - np.trace(values)) / (len(rows) * (len(rows) - 1)))

    return within(real) + within(made) - 2 * float(kernel(real, made).mean())
