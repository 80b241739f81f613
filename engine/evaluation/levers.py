"""The rows of an ablation: rule `paper` first, one lever changed at a time, the default last.

They are made from the table of levers (`engine.request.options.LEVERS`): a row a value that a lever
offers for comparison, where it changes what the editor plans.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, Literal

import numpy as np
from PIL import Image

from engine import RequestError
from engine.plan.card import Card
from engine.plan.plan import Pass, plan
from engine.request import EditRequest
from engine.request.options import LEVERS, EditOptions

Mode = Literal["unlabelled", "labelled"]
MODES: tuple[Mode, ...] = ("unlabelled", "labelled")
TASKS: dict[Mode, Literal["inpaint", "edit_class"]] = {
    "unlabelled": "inpaint",
    "labelled": "edit_class",
}
PAPER, DEFAULT = "paper", "default"

Changes = dict[str, Any]


def rows_for(mode: Mode, card: Card) -> dict[str, Changes]:
    """Name of each row -> the options it changes, for a model. The paper's rule sees the whole
    picture."""
    default = _planned(mode, card, {})
    rows: dict[str, Changes] = {PAPER: {"rule": "paper", "context": "whole"}}
    for name, lever in LEVERS.items():
        for value in lever.ablation if TASKS[mode] in lever.tasks else ():
            planned = _planned(mode, card, {name: value})
            if planned is not None and planned != default:
                rows[row_name(name, value)] = {name: value}
    rows[DEFAULT] = {}
    return rows


def row_name(lever: str, value: Any) -> str:
    """How a row is called: "fill none", "studio off"."""
    if isinstance(value, bool):
        value = "on" if value else "off"
    return f"{lever.replace('_', ' ')} {str(value).replace('_', ' ')}"


def _planned(mode: Mode, card: Card, changes: Changes) -> list[dict[str, Any]] | None:
    """What the editor plans for some options, of a thing if the model knows one; None where it
    refuses or where nothing would be left to draw."""
    side = 2 * card.side
    mask = np.zeros((side, side), bool)
    mask[side // 3 : -side // 3, side // 3 : -side // 3] = True
    things = (each for each in range(len(card.labels.names)) if card.labels.is_thing(each))
    try:
        decided = plan(
            EditRequest(
                task=TASKS[mode],
                image=Image.new("RGB", (side, side)),
                mask=mask,
                label=None if mode == "unlabelled" else next(things, 0),
                options=EditOptions(**changes),
            ),
            card,
        )
    except RequestError:
        return None
    if any(one.keeping.structure >= len(card.scales) for one in decided.passes):
        return None
    return [_heard(one) for one in decided.passes] + [{"ranked": decided.ranked}]


def _heard(one: Pass) -> dict[str, Any]:
    """What of a pass may show in its picture: without a label no schedule pulls."""
    if not one.guided:
        one = replace(one, sampling=replace(one.sampling, guidance=0.0, schedule="constant"))
    unheard = ("mask", "unheard")
    return {f.name: getattr(one, f.name) for f in fields(one) if f.name not in unheard}
