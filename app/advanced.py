"""The fold of options that most edits do not need, each with a sentence; in it, another for
experts. What stands there is the table of levers, `engine.request.options.LEVERS`."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from typing import Any

import gradio as gr

from app.fields import FIELDS, Field, of_group

Add = Callable[..., Any]  # makes an element: add(name, kind, ...)

SHOWN = ("main", "more")  # groups of the first fold
ELSEWHERE = ("around",)  # beside the class
FEW_SCALES = 5  # where a slider ends before the page knows its model
HEADINGS = {"draws": "How it draws", "knows": "What it knows of the rest"}


def folds_of(field: Field) -> tuple[str, ...]:
    """The folds that a field lies in, the outer one first; none where it is always shown."""
    if field.lever.group == "run" or field.name in ELSEWHERE:
        return ()
    return ("advanced",) if field.lever.group in SHOWN else ("advanced", "experts")


def draw_advanced(add: Add) -> None:
    """Put the options on the page; neighbours that are typed in, or short, share a row."""
    fields = [field for field in of_group(*SHOWN) if field.name not in ELSEWHERE]
    for narrow, some in groupby(fields, key=lambda field: not (field.typed or field.lever.slider)):
        run = list(some)
        if not narrow:
            for field in run:
                _draw(add, field)
            continue
        for at in range(0, len(run), 2):
            with gr.Row():
                for field in run[at : at + 2]:
                    _draw(add, field)
    with gr.Accordion("For experts", open=False, elem_id="experts"):
        draw_experts(add)


def draw_experts(add: Add) -> None:
    """What one would not touch without having read about it: all other groups."""
    groups = [field.lever.group for field in FIELDS.values()]
    for group in dict.fromkeys(groups):
        if group in ("run", *SHOWN):
            continue
        gr.HTML(f"<h4>{HEADINGS.get(group, group.capitalize())}</h4>")
        for field in of_group(group):
            _draw(add, field)


def _draw(add: Add, field: Field) -> None:
    """A slider, a list to choose from, or a field to type in, a Textbox, for gr.Number shows an
    empty value as 0."""
    words = {"label": field.lever.title, "info": field.lever.help, "min_width": 100}
    if field.lever.slider:
        least, most = field.lever.slider
        most = FEW_SCALES if most is None else most
        add(field.name, gr.Slider, least, most, field.unset, step=1, elem_classes="slider", **words)
        return
    if not field.choices:
        add(field.name, gr.Textbox, value="", placeholder="automatic", max_lines=1, **words)
        return
    choices = field.options
    add(
        field.name, gr.Dropdown, choices, value=choices[0][1], allow_custom_value=field.typed,
        **words,
    )  # fmt: skip
