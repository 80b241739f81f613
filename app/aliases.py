"""What files are called outside: by a name that tells nothing of the server's folders.

Gradio (6.31) answers an upload with the file's path and expects that path back, and it names the
files of an answer by theirs. On their way out those paths get a made-up beginning in the place of
the folder, and on their way in the folder comes back; everything else passes as it is.
"""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

from app.asgi import App, Message, Receive, Scope, Send
from app.rewritten import Replaced, rewritten

OUTSIDE = "/varpaint-files"
TEXT = (b"application/json", b"text/event-stream", b"text/html", b"text/plain")  # name files


class Aliases:
    """An ASGI application around another, whose files lie in ``folder``."""

    def __init__(self, app: App, folder: Path) -> None:
        self._app = app
        self._inside = str(folder)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
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
        return rewritten(send, TEXT, stream)
