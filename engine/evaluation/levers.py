"""The rows of an ablation: rule `paper` first, one lever changed at a time, the default last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from engine.options import EditOptions
from engine.plan.rules import Rule, rule_for

Mode = Literal["unlabelled", "labelled"]
MODES: tuple[Mode, ...] = ("unlabelled", "labelled")
TASKS: dict[Mode, Literal["inpaint", "edit_class"]] = {
    "unlabelled": "inpaint",
    "labelled": "edit_class",
}
PAPER, DEFAULT = "paper", "default"
CANDIDATES = 4

# Every lever that is a choice among values, in the order of the table. Guidance has a meaning for
# class edits only.
CHOICES: dict[str, tuple[Any, ...]] = {
    "closed_loop": (False, True),
    "fill": ("none", "telea", "navier_stokes", "push_pull", "mirror", "sideways"),
    "structure": (0, 2, 3, 4),
    "coverage": (0.02, 0.5),
    "grow": (0, 6),
    "anchor": (False, True),
    "half_known": (0, 16, 48),
    "foresight": (False, True),
    "backdrop": (False, True),
    "studio": (False, True),
    "soft_scales": (0, 1, 2),
    "guidance_schedule": ("linear", "constant", "cosine", "falling"),
    "temperature_schedule": ("constant", "falling"),
    "blend": ("none", "membrane", "poisson", "multiband"),
    "match_colour": (False, True),
    "grain": (0, 1),
    "feather": (0, 8),
}
LABELLED_ONLY = {"guidance_schedule", "backdrop", "studio"}
# Carried over when only the masks are to be those of the paper.
EDITING = (
    "fill", "closed_loop", "grow", "anchor", "half_known", "foresight", "backdrop", "soft_scales",
    "blend", "match_colour", "grain", "feather",
)  # fmt: skip

Changes = dict[str, Any]


def rows_for(
    mode: Mode,
    scales: tuple[int, ...],
    defaults: Mapping[str, float] | None = None,
    *,
    foresight: bool = False,
) -> dict[str, Changes]:
    """Name of each row -> the options it changes, for a model with these scales.

    The paper's rule sees the whole picture. "paper's masks" has every lever of the default but the
    masks (bilinear, no scale kept but the first): compare it with "structure 0".
    """
    chosen = rule_for(TASKS[mode], EditOptions(), scales, defaults, foresight=foresight)
    paper = {"rule": "paper", "context": "whole"}
    rows: dict[str, Changes] = {PAPER: paper}
    carried = {name: getattr(chosen, name) for name in EDITING}
    rows["paper's masks"] = {**paper, **carried}
    for lever, values in CHOICES.items():
        if lever in LABELLED_ONLY and mode == "unlabelled":
            continue
        if (lever == "foresight" and not foresight) or (lever == "studio" and not chosen.backdrop):
            continue
        for value in values:
            if lever == "structure" and value >= len(scales):
                continue
            default = {getattr(chosen, lever)}
            if lever == "structure":
                default.add(chosen.extending)
            if default != {value}:
                rows[row_name(lever, value)] = {lever: value}
    if mode == "labelled":
        rows["context whole"] = {"context": "whole"}
    rows[f"best of {CANDIDATES}"] = {"candidates": CANDIDATES}
    rows[row_name("speed", "fast")] = {"speed": "fast"}
    rows[DEFAULT] = {}
    return rows


def row_name(lever: str, value: Any) -> str:
    """How a row is called: "fill none", "closed loop off"."""
    if isinstance(value, bool):
        value = "on" if value else "off"
    return f"{lever.replace('_', ' ')} {str(value).replace('_', ' ')}"


def tokens_of(rule: Rule) -> tuple[Any, ...]:
    """What of a rule decides the tokens: rows that are equal in this differ in compositing only."""
    composites = {"blend", "match_colour", "grain", "feather", "backdrop"}
    return tuple((k, v) for k, v in vars(rule).items() if k not in composites)
