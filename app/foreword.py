"""The script that a page runs before any of Gradio's own.

What is given to ``Blocks.launch`` as ``head`` comes after Gradio's parts have taken what they need
of the browser.
"""

from __future__ import annotations

from pathlib import Path

from app.asgi import App, Receive, Scope, Send
from app.rewritten import Replaced, rewritten

SCRIPT = Path(__file__).resolve().parents[1] / "assets" / "foreword.js"
HEAD = b"<head>"


class Foreword:
    """An ASGI application around another, whose pages begin with the script."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._head = HEAD + b"<script>" + SCRIPT.read_bytes() + b"</script>"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            send = rewritten(send, (b"text/html",), Replaced([HEAD], self._head))
        await self._app(scope, receive, send)
