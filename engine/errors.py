"""The exception tree. Every mistake a user can make is an ``EngineError``.

A message is one line: what is wrong, the value, the remedy.
"""

from __future__ import annotations


class EngineError(Exception):
    """Base of everything the engine raises on purpose."""


class RequestError(EngineError):
    """A request that cannot be carried out as written: a bad option, margin or label."""


class ImageError(EngineError):
    """A picture that cannot be edited: not an image, too large, an unsupported mode."""


class MaskError(EngineError):
    """A mask that does not fit its picture, or selects nothing."""


class CheckpointError(EngineError):
    """A weights file that is truncated, foreign or does not fit its partner."""


class ModelNotFoundError(EngineError):
    """A model that is not known or not on disk."""


class DownloadError(EngineError):
    """A download that could not be completed or does not match its checksum."""


class DeviceError(EngineError):
    """A device or precision that this machine does not offer."""


class DamageError(EngineError):
    """A result that would have changed what it must not: it is not handed over."""
