"""The script before Gradio's own: it comes first, and an answer with it is as long as it says."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from app.asgi import Message, Receive, Scope, Send
from app.foreword import SCRIPT, Foreword

PAGE = b"<!doctype html><html><head><title>x</title></head><body>y</body></html>"
WITH = PAGE.replace(b"<head>", b"<head><script>" + SCRIPT.read_bytes() + b"</script>")


def _answer(kind: str, pieces: list[bytes]) -> httpx.Response:
    """What comes of an answer of that type, whose body is sent in pieces."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        length = str(sum(map(len, pieces))).encode()
        headers = [(b"content-type", kind.encode()), (b"content-length", length)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for at, piece in enumerate(pieces):
            message: Message = {"type": "http.response.body", "body": piece}
            await send({**message, "more_body": at < len(pieces) - 1})

    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(Foreword(app))
        async with httpx.AsyncClient(transport=transport, base_url="http://varpaint") as client:
            return await client.get("/")

    return asyncio.run(asked())


@pytest.mark.parametrize("cut", [0, 23, 26, 30])
def test_a_page_begins_with_the_script_however_it_is_cut(cut: int) -> None:
    pieces = [PAGE[:cut], PAGE[cut:]] if cut else [PAGE]
    answer = _answer("text/html; charset=utf-8", pieces)
    assert answer.content == WITH
    assert answer.headers.get("content-length") in (None, str(len(WITH)))


def test_what_is_no_page_stays_as_it_is() -> None:
    answer = _answer("application/json", [PAGE])
    assert answer.content == PAGE and answer.headers["content-length"] == str(len(PAGE))


def test_a_real_page_runs_it_before_all_other_scripts(server: str) -> None:
    before, script, after = httpx.get(server).text.partition(SCRIPT.read_text())
    assert before.count("<script") == 1 and script and "<script" in after
