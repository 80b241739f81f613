"""A model's networks at work for an edit, and what they remember."""

from engine.runner.known import for_each
from engine.runner.networks import SLOW_DECODER, Runner

__all__ = ["SLOW_DECODER", "Runner", "for_each"]
