"""A plan carried out by a model's networks, and what they remember."""

from engine.runner.known import for_each
from engine.runner.networks import Runner

__all__ = ["Runner", "for_each"]
