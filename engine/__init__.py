"""varpaint's engine: zero-shot picture editing with VAR (Tian et al. 2024, next-scale prediction).

Glossary
    scale          a side length s; its token map is an s x s grid of codebook ids
    scales         the schedule, coarse to fine, such as (1, 2, 4, 8, 16)
    codebook       the V vectors that token ids stand for
    features       the VQVAE encoder's output, f, before quantisation
    feature map    what all scales so far add up to, f-hat in the paper
    label          a class id; "no label" is the unconditional class id
    guidance       classifier-free guidance
    keep           use the token of the known picture
    regenerate     draw the token anew; a mask is True (white) where that happens
    frame          the square that the model sees; its window is where it sits in the picture
    feather        the width over which an edit fades in, inward from the mask's edge
    variation      one of several results of a request; variation i uses seed + i

Importing this package loads no network library; the names below do when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from engine.errors import (
    CheckpointError,
    DamageError,
    DeviceError,
    DownloadError,
    EngineError,
    ImageError,
    MaskError,
    ModelNotFoundError,
    RequestError,
)
from engine.request import EditRequest
from engine.request.options import EditOptions

if TYPE_CHECKING:
    from engine.editor import Editor
    from engine.events import Detailing, Event, Finished, Painted, Result, ScaleDone
    from engine.loading import load_editor
    from engine.picture.files import open_image
    from engine.weights.registry import ModelInfo, models

__version__ = "0.2.0"

_LAZY = {
    "Editor": "engine.editor",
    "Result": "engine.events",
    "ScaleDone": "engine.events",
    "Painted": "engine.events",
    "Detailing": "engine.events",
    "Finished": "engine.events",
    "Event": "engine.events",
    "load_editor": "engine.loading",
    "ModelInfo": "engine.weights.registry",
    "models": "engine.weights.registry",
    "open_image": "engine.picture.files",
}

__all__ = [
    "CheckpointError",
    "DamageError",
    "Detailing",
    "DeviceError",
    "DownloadError",
    "EditOptions",
    "EditRequest",
    "Editor",
    "EngineError",
    "Event",
    "Finished",
    "ImageError",
    "MaskError",
    "ModelInfo",
    "ModelNotFoundError",
    "Painted",
    "RequestError",
    "Result",
    "ScaleDone",
    "load_editor",
    "models",
    "open_image",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'engine' has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)
