"""A stream that has said that it ends is not cut off by the page that closes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.responses import StreamingResponse

from app.streams import Streams


@pytest.mark.parametrize(("last", "whole"), [("close_stream", True), ("progress", False)])
def test_a_page_that_closes_a_stream_at_its_end_cuts_off_nothing(last: str, whole: bool) -> None:
    seen: list[str] = []

    async def lines() -> AsyncIterator[str]:
        try:
            yield f'data: {{"msg":"{last}"}}\n\n'
            seen.append("its last line")
        except (asyncio.CancelledError, GeneratorExit):
            seen.append("cut off")
            raise

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await StreamingResponse(lines(), media_type="text/event-stream")(scope, receive, send)

    async def visit() -> None:
        heard = asyncio.Event()

        async def send(message: Any) -> None:
            if message.get("body"):
                heard.set()
                await asyncio.sleep(0.05)  # a busy machine

        async def receive() -> Any:
            await heard.wait()
            return {"type": "http.disconnect"}

        scope = {"type": "http", "path": "/gradio_api/queue/data", "asgi": {"spec_version": "2.3"}}
        await asyncio.wait_for(Streams(answer)(scope, receive, send), 5)

    asyncio.run(visit())
    assert (seen == ["its last line"]) is whole


def test_everything_else_passes_as_it_is() -> None:
    passed: list[Any] = []

    async def inner(*given: Any) -> None:
        passed.append(given)

    given = ({"type": "http", "path": "/config"}, object(), object())
    asyncio.run(Streams(inner)(*given))  # type: ignore[arg-type]
    assert passed == [given]
