"""The table of levers: complete, and what it says is what is decided."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine import EditOptions, RequestError
from engine.request import reread
from engine.request.options import (
    EDITS,
    GROUPS,
    LEVERS,
    RETIRED,
    RETIRED_VALUES,
    TASKS,
    Lever,
    Situation,
    Task,
)

SCALES = (1, 2, 3, 4, 5, 6, 8, 10, 13, 16)
GIVEN: dict[str, Any] = {
    "seed": 5, "variations": 3, "structure": 2, "composition": 1, "context": 64,
    "guidance": 1.25, "feather": 7, "candidates": 4, "speed": "fast", "blend": "none",
    "detail": "picture", "around": "keep", "temperature": 0.5,
    "temperature_schedule": "falling", "top_k": 3, "top_p": 0.25,
    "guidance_schedule": "falling", "square": 512, "steps": 9,
    "soft_scales": 2, "coarse_seeds": (7, 7), "rule": "paper", "fill": "none", "grow": 9,
    "backdrop": True, "studio": False,
}  # fmt: skip


def situations(task: Task) -> list[Situation]:
    own = {"top_k": 20, "guidance": 3.0, "temperature": 0.6, "soft_scales": 1, "top_p": 0.8}
    return [
        Situation(
            task=task, scales=SCALES, recommended=each, foresight=yes, scenery=yes, paper=paper
        )
        for each in ({}, own)
        for yes in (False, True)
        for paper in (False, True)
    ]


@pytest.mark.parametrize("name", LEVERS)
def test_every_lever_says_what_it_is_and_where_it_stands(name: str) -> None:
    lever = LEVERS[name]
    assert lever.group in GROUPS
    assert lever.title and lever.title[0].isupper() and len(lever.title) <= 30
    assert lever.help.endswith(".") and len(lever.help) <= 90
    assert lever.tasks and set(lever.tasks) <= set(TASKS)


def test_every_option_is_a_lever_and_says_so() -> None:
    assert list(LEVERS) == list(EditOptions.model_fields) == list(EditOptions().model_dump())


def test_a_group_that_no_form_has_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown group 'elsewhere'"):
        Lever("elsewhere", "Title", "Help.")


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", LEVERS)
def test_a_value_that_is_given_is_what_is_decided(task: Task, name: str) -> None:
    options = EditOptions(**{name: GIVEN[name]})
    for situation in situations(task):
        assert options.decided(situation)[name] == GIVEN[name]


@pytest.mark.parametrize("task", TASKS)
def test_what_is_left_open_has_a_default_that_could_have_been_given(task: Task) -> None:
    for situation in situations(task):
        chosen = EditOptions().decided(situation)
        assert list(chosen) == list(LEVERS)
        again = EditOptions(**{name: value for name, value in chosen.items() if value is not None})
        assert again.decided(situation) == chosen
        assert [name for name, value in chosen.items() if value is None] == ["seed", "candidates"]


@pytest.mark.parametrize("name", LEVERS)
def test_what_a_form_or_the_evaluation_offers_is_taken(name: str) -> None:
    lever = LEVERS[name]
    for value in (*lever.choices, *lever.ablation):
        EditOptions(**{name: value})


def test_levers_of_an_edit_say_nothing_of_a_new_picture() -> None:
    for name in ("structure", "feather", "blend", "detail", "fill", "grow"):
        assert LEVERS[name].tasks == EDITS


OLD: dict[str, Any] = {
    "closed_loop": False, "coverage": 0.3, "anchor": True, "foresight": False, "half_known": 2.5,
    "match_colour": True, "grain": 0.5,
}  # fmt: skip


@pytest.mark.parametrize("name", RETIRED)
def test_an_old_request_with_an_option_that_is_gone_is_read_with_a_note(name: str) -> None:
    options = {"seed": 3, name: OLD[name]}
    with pytest.raises(RequestError, match=f"unknown option '{name}'"):
        EditOptions(**options)
    request, notes = reread(json.dumps({"task": "inpaint", "options": options}))
    assert request.options == EditOptions(seed=3)
    assert notes == (f"{name}: this option is gone; its default was taken",)


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, some in RETIRED_VALUES.items() for value in some]
)
def test_an_old_request_with_a_value_that_is_gone_is_read_with_a_note(
    name: str, value: str
) -> None:
    options = {"seed": 3, "top_k": 9, name: value}
    with pytest.raises(RequestError, match=f"{name}: input should be"):
        EditOptions(**options)
    request, notes = reread(json.dumps({"task": "generate", "options": options}))
    assert request.options == EditOptions(seed=3, top_k=9)
    assert notes == (f"{name}: {value!r} is gone; the default was taken",)


def test_a_request_of_today_is_read_as_it_was_written() -> None:
    options = EditOptions(**{**GIVEN, "candidates": None})
    text = json.dumps({"task": "inpaint", "label": "bird", "options": options.model_dump()})
    request, notes = reread(text)
    assert notes == () and request.options == options and request.label == "bird"


@pytest.mark.parametrize(
    "text", ["", "[]", "{", "null", '"inpaint"', '{"task": "paint"}', "[" * 100_000,
             '{"task": "inpaint", "options": 3}', '{"task": "inpaint", "options": {"sed": 1}}',
             '{"task": "inpaint", "options": {"blend": ["poisson"]}}'],
    ids=lambda text: text[:40],
)  # fmt: skip
def test_what_is_no_request_is_told_in_one_line(text: str) -> None:
    with pytest.raises(RequestError) as caught:
        reread(text)
    assert "\n" not in str(caught.value)
