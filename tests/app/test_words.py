"""Errors in the form's own terms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr
import pytest

from app.forms import edit_request, request_of
from app.screens import Screen
from app.words import in_form, in_words
from engine.errors import CheckpointError, EngineError, RequestError

WHOLE = "expected a whole number"


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("seed", "seven", f"Seed: {WHOLE} (got 'seven')"),
        ("seed", "-1", "Seed: must be at least 0 (got '-1')"),
        ("variations", 99, "Variations: must be at most 16 (got 99)"),
        ("guidance", "strong", "Guidance: expected a number (got 'strong')"),
        ("temperature", "0", "Temperature: must be more than 0 (got '0')"),
        ("top-k", "1.5", f"Top-k: {WHOLE} (got '1.5')"),
        ("context", "near",
         'Context: expected "auto", "whole" or a number of pixels (got \'near\')'),
        ("coarse-seeds", "7, many", f"Seeds of the first scales: {WHOLE} (got 'many')"),
    ],
)  # fmt: skip
def test_an_error_names_its_field_as_the_form_does(field: str, value: Any, words: str) -> None:
    with pytest.raises(RequestError) as told:
        request_of(None, "generate", "bird", None, {field: value})
    assert in_form(str(told.value)) == (words, field)


def test_an_error_names_its_side_as_the_form_does() -> None:
    with pytest.raises(RequestError) as told:
        edit_request("outpaint", margins={"left": "-3"})
    assert in_form(str(told.value)) == (
        "Extend left: must not be negative (got '-3')", "extend-left"
    )  # fmt: skip


def test_a_missing_class_is_about_the_class() -> None:
    with pytest.raises(RequestError) as told:
        request_of(None, "generate", "", None, {})
    assert in_form(str(told.value)).field == "label"


def shown(error: Exception) -> str:
    def fails() -> Iterator[Screen]:
        raise error
        yield {}

    screens = in_words(fails)()
    status = next(screens)["status"]
    with pytest.raises(gr.Error):
        next(screens)
    assert isinstance(status, str)
    return status


def test_an_error_says_which_folds_its_field_lies_in() -> None:
    assert 'data-field="seed" data-folds=""' in shown(RequestError("seed: no"))
    assert 'data-field="feather" data-folds="advanced"' in shown(RequestError("feather: no"))
    assert 'data-field="top-k" data-folds="advanced experts"' in shown(RequestError("top_k: no"))
    assert 'data-field="model"' in shown(CheckpointError("its file is cut off"))
    assert 'data-field=""' in shown(EngineError("the disk: it is full"))


def test_the_same_error_twice_is_told_twice() -> None:
    assert shown(RequestError("seed: no")) != shown(RequestError("seed: no"))
