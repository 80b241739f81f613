"""Shape of HMAR's transformer (Kumbong et al. 2025, "HMAR: Efficient Hierarchical Masked
Auto-Regressive Image Generation"; released code, commit 595a9df)."""

from __future__ import annotations

from dataclasses import dataclass

from engine.model.spec import HEAD_SIZE, VARSpec

REFINED_BLOCKS = 8  # in either branch, whatever the depth


@dataclass(frozen=True, kw_only=True)
class HMARSpec(VARSpec):
    """VAR's blocks, attention within one scale, two branches.

    Of ``depth`` blocks the last ``refined`` are there twice: for the next scale, and to draw
    again what is hidden of a scale.
    """

    refined: int = REFINED_BLOCKS

    @classmethod
    def official(cls, depth: int) -> HMARSpec:
        """Width 64 x depth; depths 16, 20, 24 and 30 are published."""
        return cls(depth=depth, width=HEAD_SIZE * depth)
