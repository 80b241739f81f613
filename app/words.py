"""Errors in words: the one place where they meet the page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html import escape
from typing import Any

import gradio as gr

from app import markup, screens
from app.fields import FIELDS
from app.forms import SIDE_FIELDS
from app.screens import Screen
from engine.errors import EngineError
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
        except gr.Error:
            raise
        except Exception as error:
            words = broken(error)
        else:
            return
        words, field = in_form(words)
        if words.split(maxsplit=1)[0].rstrip(":,;").isalpha():  # not a file's name
            words = words[:1].upper() + words[1:]
        yield {"status": markup.status(words, "error", field=field), **screens.idle()}
        raise gr.Error(escape(words, quote=False), duration=6, print_exception=False)

    return safe


def in_form(words: str) -> tuple[str, str]:
    """An error's words with the field's name as the form has it, and the field's element; empty
    where it names none."""
    name, colon, rest = words.partition(": ")
    field = FIELDS.get(name.replace("_", "-"))
    if colon and field is not None:
        return f"{field.lever.title}: {rest}", field.name
    if colon and name in SIDE_FIELDS:
        return f"Extend {name}: {rest}", SIDE_FIELDS[name]
    return words, ""
