"""What a server says, with words of it replaced on their way out."""

from __future__ import annotations

from collections.abc import Iterable

from app.asgi import Message, Send


def rewritten(send: Send, kinds: tuple[bytes, ...], stream: Replaced) -> Send:
    """``send`` for an answer that goes through ``stream`` where its type is one of ``kinds``."""
    begun: Message | None = None
    chosen = False

    async def sent(message: Message) -> None:
        """The head waits for the first of the body, since that may change its length."""
        nonlocal begun, chosen
        if message["type"] == "http.response.start":
            kind = dict(message.get("headers", [])).get(b"content-type", b"")
            chosen = kind.startswith(kinds)
            if chosen:
                begun = message
                return
        elif chosen and message["type"] == "http.response.body":
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
