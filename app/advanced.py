"""The fold of options that most edits do not need, each with a sentence; in it, another for
experts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

Add = Callable[..., Any]  # makes an element: add(name, kind, ...)

AUTO = ("Automatic", "auto")
YES_NO = [AUTO, ("Yes", "yes"), ("No", "no")]
STRUCTURES = [
    AUTO, ("0 · make new", "0"), ("1", "1"), ("2", "2"), ("3", "3"), ("4", "4"),
    ("5 · fit in", "5"),
]  # fmt: skip
BLENDS = [
    AUTO, ("None", "none"), ("Membrane", "membrane"), ("Poisson", "poisson"),
    ("Multiband", "multiband"),
]  # fmt: skip
SCHEDULES = [
    AUTO, ("Linear", "linear"), ("Constant", "constant"), ("Cosine", "cosine"),
    ("Falling", "falling"),
]  # fmt: skip
COOLING = [AUTO, ("Constant", "constant"), ("Falling", "falling")]
FILLS = [
    AUTO, ("None", "none"), ("Telea", "telea"), ("Navier-Stokes", "navier_stokes"),
    ("Push-pull", "push_pull"), ("Mirror", "mirror"), ("Sideways", "sideways"),
    ("Mean colour", "mean"),
]  # fmt: skip


def draw_advanced(add: Add) -> None:
    """Put the options on the page."""
    _choice(add, "structure", "Structure", STRUCTURES,
            "How much the layout around it is kept.", allow_custom_value=True)  # fmt: skip
    _choice(add, "context", "Context", ["auto", "whole", "64", "128", "256"],
            "What it sees: auto, whole, or pixels around.", allow_custom_value=True)  # fmt: skip
    with gr.Row():
        _text(add, "guidance", "Guidance", "How strongly the class pulls.")
        _text(add, "feather", "Feather", "Fade-in inside the mask, pixels.")
    with gr.Row():
        _text(add, "candidates", "Best of", "Draws so many, shows the best.", placeholder="off")
        _choice(add, "speed", "Speed", [("Exact", "exact"), ("Fast", "fast")],
                "Fast approximates small edits.")  # fmt: skip
    with gr.Row():
        _choice(add, "blend", "Blend", BLENDS, "How it meets its surroundings.")
        _choice(add, "match-colour", "Match colour", YES_NO, "Takes out a colour cast at its rim.")
    _text(add, "grain", "Grain", "How much texture it takes from around: 0 to 2.")
    with gr.Accordion("For experts", open=False, elem_id="experts"):
        draw_experts(add)


def draw_experts(add: Add) -> None:
    """What one would not touch without having read about it."""
    gr.HTML("<h4>How it draws</h4>")
    _text(add, "temperature", "Temperature",
          "Below 1 it draws with care, above 1 boldly.")  # fmt: skip
    _choice(add, "temperature-schedule", "Temperature over scales", COOLING,
            "Falling goes from 1 at the coarsest to that at the finest.")  # fmt: skip
    _text(add, "top-k", "Top-k", "Draws among so many of the likeliest tokens; 0 means all.")
    _text(add, "top-p", "Top-p", "Draws among the likeliest of this probability; 1 means all.")
    _choice(add, "guidance-schedule", "Guidance over scales", SCHEDULES,
            "How the pull of the class changes from coarse to fine.")  # fmt: skip
    _text(add, "soft-scales", "Soft scales",
          "So many of the last scales are averaged, not drawn: calmer detail.")  # fmt: skip
    _text(add, "coarse-seeds", "Seeds of the first scales",
          "One for each, as “more like this” fills in: 7, 7, 7.", placeholder="none")  # fmt: skip
    gr.HTML("<h4>What it knows of the rest</h4>")
    _choice(add, "rule", "Editing rule", [("varpaint", "default"), ("VAR paper", "paper")],
            "That of the VAR authors' demo takes no notice of what follows.")  # fmt: skip
    _choice(add, "fill", "Fill", FILLS, "What the hole is filled with before the model looks.")
    _choice(add, "closed-loop", "Closed loop", YES_NO,
            "Every scale makes up for what the known part still lacks.")  # fmt: skip
    _text(add, "coverage", "Coverage",
          "A token is drawn anew if more than this part of it is masked, 0 to 1.")  # fmt: skip
    _text(add, "grow", "Grow",
          "A rim so wide around the hole is not believed either, pixels of the square it sees.",
          )  # fmt: skip
    _choice(add, "anchor", "Anchor", YES_NO,
            "The known part is decoded from what it is, not from the nearest codes.")  # fmt: skip
    _text(add, "half-known", "Half-known",
          "How much the known part of a half-masked token counts; 0 is not at all.")  # fmt: skip
    _choice(add, "foresight", "Foresight", YES_NO,
            "The model reads all of the known part at every scale, if it was trained to.",
            )  # fmt: skip
    _choice(add, "backdrop", "Backdrop", YES_NO,
            "Around what a class draws, the part as removing it would leave it.")  # fmt: skip
    _choice(add, "studio", "Studio", YES_NO,
            "A thing is drawn before plain grey and cut out of that.")  # fmt: skip


def _text(add: Add, name: str, label: str, info: str, **more: Any) -> None:
    """A field to type in; a Textbox, for gr.Number shows an empty value as 0."""
    given = {"value": "", "placeholder": "automatic", "min_width": 100, "max_lines": 1, **more}
    add(name, gr.Textbox, label=label, info=info, **given)


def _choice(add: Add, name: str, label: str, choices: list[Any], info: str, **more: Any) -> None:
    """A list to choose from; its first entry is the default."""
    first = choices[0]
    value = first if isinstance(first, str) else first[1]
    add(name, gr.Dropdown, choices, value=value, label=label, info=info, min_width=100, **more)
