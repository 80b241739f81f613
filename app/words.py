"""Errors in words: the one place where they meet the page."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from html import escape
from typing import Any

import gradio as gr

from app import markup, screens
from app.limits import broken
from app.screens import Screen
from engine.errors import EngineError

log = logging.getLogger("varpaint")


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
            log.exception("a handler failed")
            words = broken(error)
        else:
            return
        if words.split(maxsplit=1)[0].rstrip(":,;").isalpha():  # not a file's name
            words = words[:1].upper() + words[1:]
        yield {"status": markup.status(words, "error"), **screens.idle()}
        raise gr.Error(escape(words, quote=False), duration=6, print_exception=False)

    return safe
