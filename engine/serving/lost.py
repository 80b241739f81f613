"""What is answered for a door that died, or of which there is none: status 503 with Retry-After, as
for every other refusal. Ray's proxy says nothing then, which is a 500, or 503 in words of its own.
It takes middlewares from a function that `engine.serving.cluster.PROXY` names.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from engine.serving.door import RETRY

WORDS = f"the process that was to answer has ended; try again in {RETRY} s"

Message = dict[str, Any]
Send = Callable[[Message], Awaitable[None]]


class Lost:
    """An ASGI application around the proxy's. What a door answers is JSON, also where it refuses: a
    plain text of status 503 is the proxy's."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Any, send: Send) -> None:
        begun = lost = False

        async def told(message: Message) -> None:
            nonlocal begun, lost
            if message["type"] == "http.response.start" and message["status"] == 503:
                lost = any(
                    name.lower() == b"content-type" and value.startswith(b"text/plain")
                    for name, value in message["headers"]
                )
            if not lost:
                begun = True
                await send(message)

        await self._app(scope, receive, told)
        if scope["type"] == "http" and not begun:
            await self._refuse(send)

    async def _refuse(self, send: Send) -> None:
        body = json.dumps({"error": WORDS}).encode()
        heads = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"retry-after", str(RETRY).encode()),
        ]
        await send({"type": "http.response.start", "status": 503, "headers": heads})
        await send({"type": "http.response.body", "body": body})


def middlewares() -> list[Any]:
    """For Ray's proxy."""
    from starlette.middleware import Middleware

    return [Middleware(Lost)]
