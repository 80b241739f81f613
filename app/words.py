"""Errors in words: the one place where they meet the page."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html import escape
from typing import Any, NamedTuple

import gradio as gr

from app import markup, screens
from app.advanced import folds_of
from app.fields import FIELDS
from app.forms import SIDE_FIELDS
from app.screens import Screen
from engine.errors import CheckpointError, EngineError, ModelNotFoundError
from engine.serving.bounds import broken


def in_words(handler: Callable[..., Iterator[Screen]]) -> Callable[..., Iterator[Screen]]:
    """The one place where errors become words: in the status line, and as a toast.

    A mistake of the user's is told as it is; anything else goes to the log with its traceback and
    to the page without.
    """

    def safe(*args: Any, **kwargs: Any) -> Iterator[Screen]:
        try:
            yield from handler(*args, **kwargs)
        except EngineError as error:
            words = str(error)
            about_model = isinstance(error, ModelNotFoundError | CheckpointError)
        except gr.Error:
            raise
        except Exception as error:
            words, about_model = broken(error), False
        else:
            return
        said = in_form(words)
        words, field = said.words, said.field
        if not field and about_model:
            field = "model"
        if words.split(maxsplit=1)[0].rstrip(":,;").isalpha():  # not a file's name
            words = words[:1].upper() + words[1:]
        folds = folds_of(FIELDS[field]) if field in FIELDS else ()
        yield {"status": markup.wrong(words, field, folds), **screens.idle()}
        raise gr.Error(escape(words, quote=False), duration=6, print_exception=False)

    return safe


class Said(NamedTuple):
    """An error's words, and the element of the form's field that they are about; empty for none."""

    words: str
    field: str


NAMES = {  # fields that are no levers: (title, element), by the request's name
    "label": ("Class", "label"), "model": ("Model", "model"),
    **{side: (f"Extend {side}", field) for side, field in SIDE_FIELDS.items()},
}  # fmt: skip
PLAIN = (  # what the schema says, and how one says it to a person
    (r"input should be a valid integer[^(]*", "expected a whole number "),
    (r"input should be a valid number[^(]*", "expected a number "),
    (r"input should be greater than or equal to", "must be at least"),
    (r"input should be greater than", "must be more than"),
    (r"input should be less than or equal to", "must be at most"),
    (r"input should be less than", "must be less than"),
    (r"input should be", "expected"),
)


def in_form(words: str) -> Said:
    """An error in the form's own terms: "top_k: input should be greater than or equal to 0" is
    "Top-k: must be at least 0" there."""
    name, colon, rest = words.partition(": ")
    name = name.split(".")[0]  # of several values, the one that is wrong: coarse_seeds.0
    field = FIELDS.get(name.replace("_", "-"))
    title, element = (field.lever.title, field.name) if field else NAMES.get(name, ("", ""))
    if not colon or not element:
        return Said(words, "")
    for said, plain in PLAIN:
        rest = re.sub(said, plain, rest)
    return Said(f"{title}: {rest}", element)
