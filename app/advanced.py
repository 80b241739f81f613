"""The fold of options that most edits do not need, each with a sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr


def draw_advanced(add: Callable[..., Any]) -> None:
    """Put the options on the page; ``add(name, kind, ...)`` makes an element of that name."""
    # Textboxes: gr.Number shows an empty value as 0
    automatic = {"placeholder": "automatic", "min_width": 100, "max_lines": 1}
    structure = [
        ("Automatic", "auto"),
        ("0 · make new", "0"),
        ("1", "1"),
        ("2", "2"),
        ("3", "3"),
        ("4", "4"),
        ("5 · fit in", "5"),
    ]
    add(
        "structure",
        gr.Dropdown,
        structure,
        value="auto",
        label="Structure",
        allow_custom_value=True,
        info="How much the layout around it is kept.",
    )
    add(
        "context",
        gr.Dropdown,
        ["auto", "whole", "64", "128", "256"],
        value="auto",
        allow_custom_value=True,
        label="Context",
        info="What it sees: auto, whole, or pixels around.",
    )
    with gr.Row():
        add(
            "guidance",
            gr.Textbox,
            "",
            label="Guidance",
            **automatic,
            info="How strongly the class pulls.",
        )
        add(
            "feather",
            gr.Textbox,
            "",
            label="Feather",
            **automatic,
            info="Fade-in inside the mask, pixels.",
        )
    with gr.Row():
        add(
            "top-k",
            gr.Textbox,
            "",
            label="Top-k",
            **automatic,
            info="Likeliest tokens kept; 0 is all.",
        )
        add("top-p", gr.Textbox, "", label="Top-p", **automatic, info="Probability kept; 1 is all.")
    with gr.Row():
        add(
            "temperature",
            gr.Textbox,
            "1",
            label="Temperature",
            max_lines=1,
            min_width=100,
            info="Above 1 is bolder.",
        )
        add(
            "rule",
            gr.Dropdown,
            [("varpaint", "default"), ("VAR paper", "paper")],
            value="default",
            label="Rule",
            min_width=100,
            info="The editing rule.",
        )
    with gr.Row():
        add(
            "candidates",
            gr.Textbox,
            "",
            label="Best of",
            placeholder="off",
            max_lines=1,
            min_width=100,
            info="Draws so many, shows the best.",
        )
        add(
            "speed",
            gr.Dropdown,
            [("Exact", "exact"), ("Fast", "fast")],
            value="exact",
            label="Speed",
            min_width=100,
            info="Fast approximates small edits.",
        )
    with gr.Row():
        blends = [
            ("Automatic", "auto"),
            ("None", "none"),
            ("Membrane", "membrane"),
            ("Poisson", "poisson"),
            ("Multiband", "multiband"),
        ]
        add(
            "blend",
            gr.Dropdown,
            blends,
            value="auto",
            label="Blend",
            min_width=100,
            info="How it meets its surroundings.",
        )
        yes_no = [("Automatic", "auto"), ("Yes", "yes"), ("No", "no")]
        add(
            "match-colour",
            gr.Dropdown,
            yes_no,
            value="auto",
            label="Match colour",
            min_width=100,
            info="Takes a colour cast at the rim out.",
        )
    with gr.Row():
        add(
            "soft-scales",
            gr.Textbox,
            "",
            label="Soft scales",
            **automatic,
            info="Last scales averaged, not drawn.",
        )
        schedules = [
            ("Automatic", "auto"),
            ("Linear", "linear"),
            ("Constant", "constant"),
            ("Cosine", "cosine"),
            ("Falling", "falling"),
        ]
        add(
            "guidance-schedule",
            gr.Dropdown,
            schedules,
            value="auto",
            min_width=100,
            label="Guidance over scales",
            info="How its strength goes.",
        )
    add(
        "coarse-seeds",
        gr.Textbox,
        "",
        label="Seeds of the first scales",
        max_lines=1,
        placeholder="none of their own",
        info="One a scale, as “more like this” fills in: 7, 7, 7.",
    )
