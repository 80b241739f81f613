"""Arrays <-> tensors: the only place that knows the value range of the networks.

A network picture is (B, 3, H, W) float in [-1, 1].
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def to_tensor(rgb: NDArray[Any]) -> Tensor:
    """RGB (..., H, W, 3) in 0..255 as network pictures (..., 3, H, W) in [-1, 1], float32."""
    values = torch.from_numpy(np.ascontiguousarray(rgb)).float() / 127.5 - 1
    return values.movedim(-1, -3)


def to_floats(pictures: Tensor) -> NDArray[np.float32]:
    """Network pictures (..., 3, H, W) in [-1, 1] as RGB (..., H, W, 3) floats in 0..255."""
    values = (pictures.detach().float().movedim(-3, -1) + 1) * 127.5
    floats: NDArray[np.float32] = values.cpu().numpy()
    return floats
