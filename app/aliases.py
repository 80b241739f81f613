"""What files are called outside: by a name that tells nothing of the server's folders.

Gradio (6.31) answers an upload with the file's path and expects that path back, and it names the
files of an answer by theirs. On their way out those paths get a made-up beginning in the place of
the folder, and on their way in the folder comes back; everything else passes as it is.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

OUTSIDE = "/varpaint-files"
TEXT = (b"application/json", b"text/event-stream", b"text/html", b"text/plain")  # name files


class Aliases:
    """An ASGI application around another, whose files lie in ``folder``."""

    def __init__(self, app: App, folder: Path) -> None:
        self._app = app
        self._inside = str(folder)

    async def __call__(
        self, scope: MutableMapping[str, Any], receive: Receive, send: Send
    ) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if OUTSIDE in scope["path"]:
            path = scope["path"].replace(OUTSIDE, self._inside)
            scope = {**scope, "path": path, "raw_path": quote(path).encode()}
        headers = dict(scope["headers"])
        if not headers.get(b"content-type", b"").startswith(b"multipart/"):
            receive = self._incoming(receive)
        await self._app(scope, receive, self._outgoing(send))

    def _incoming(self, receive: Receive) -> Receive:
        stream = Replaced([OUTSIDE.encode()], json.dumps(self._inside)[1:-1].encode())

        async def received() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                more = message.get("more_body", False)
                message["body"] = stream.feed(message.get("body", b""), last=not more)
            return message

        return received

    def _outgoing(self, send: Send) -> Send:
        written = json.dumps(self._inside)[1:-1]
        stream = Replaced(
            [each.encode() for each in {self._inside, written, quote(self._inside)}],
            OUTSIDE.encode(),
        )
        begun: Message | None = None
        text = False

        async def sent(message: Message) -> None:
            """The head waits for the first of the body, since that may change its length."""
            nonlocal begun, text
            if message["type"] == "http.response.start":
                kind = dict(message.get("headers", [])).get(b"content-type", b"")
                text = kind.startswith(TEXT)
                if text:
                    begun = message
                    return
            elif text and message["type"] == "http.response.body":
                last = not message.get("more_body", False)
                body = stream.feed(message.get("body", b""), last=last)
                message = {**message, "body": body}
                if begun is not None:
                    await send(_with_length(begun, len(body) if last else None))
                    begun = None
            await send(message)

        return sent


def _with_length(message: Message, length: int | None) -> Message:
    """The head of an answer with this length, or with none where that is not known yet."""
    headers = [each for each in message["headers"] if each[0].lower() != b"content-length"]
    if length is not None and len(headers) < len(message["headers"]):
        headers.append((b"content-length", str(length).encode()))
    return {**message, "headers": headers}


class Replaced:
    """Bytes that come in pieces, with each of ``found`` in them replaced. What may be the beginning
    of one waits for the next piece."""

    def __init__(self, found: Iterable[bytes], by: bytes) -> None:
        self._found = sorted(found, key=len, reverse=True)
        self._by = by
        self._held = b""

    def feed(self, piece: bytes, *, last: bool) -> bytes:
        data = self._held + piece
        for each in self._found:
            data = data.replace(each, self._by)
        keep = 0 if last else max(_overlap(data, each) for each in self._found)
        self._held = data[len(data) - keep :]
        return data[: len(data) - keep]


def _overlap(data: bytes, word: bytes) -> int:
    """How many bytes at the end of ``data`` are the beginning of ``word``, but not all of it."""
    longest = min(len(word) - 1, len(data))
    return next((n for n in range(longest, 0, -1) if data.endswith(word[:n])), 0)
