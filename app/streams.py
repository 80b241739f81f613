"""A stream of news that has said that it ends, ends by itself.

A page closes its connection as soon as it hears that. Gradio (6.31) takes a connection that is
closed before the stream's last line has run for a page that has gone, and drops all that the page
has asked for meanwhile: a press on Run would be lost on a busy machine.
"""

from __future__ import annotations

import asyncio

from app.asgi import App, Message, Receive, Scope, Send

STREAM = "/queue/data"
ENDS = b'"close_stream"'


class Streams:
    """An ASGI application around another. Of a stream that has said its end nobody is told that its
    connection is closed."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].endswith(STREAM):
            await self._app(scope, receive, send)
            return
        ends = False

        async def sent(message: Message) -> None:
            nonlocal ends
            ends = ends or ENDS in bytes(message.get("body", b""))
            await send(message)

        async def received() -> Message:
            message = await receive()
            if ends and message["type"] == "http.disconnect":
                await asyncio.Event().wait()  # until the stream is over, which cancels this
            return message

        await self._app(scope, received, sent)
