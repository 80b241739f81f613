"""The door of a service: HTTP on one side, replicas on the other. It computes nothing itself.

    POST /inpaint, /outpaint, /edit_class, /generate    a form with files
    GET  /models, /health, /ready

The same fields as the window's endpoints have, and the same bytes.
"""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping
from contextlib import aclosing
from io import BytesIO
from typing import Any

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from engine import EngineError, ScaleDone
from engine.request.options import Task
from engine.serving.bounds import MEGABYTE, broken
from engine.serving.counts import Queue
from engine.serving.posted import FIELDS, Posted
from engine.serving.service import NAME, REPLICA, Service
from engine.serving.told import PAUSE, LostError, Made, Tale, Told, place_of

LONGEST_FORM = 256 * MEGABYTE
LONGEST_TEXT = MEGABYTE
FILES = 32  # in one form
RETRY = 5  # seconds after which one may ask again
EVENTS, PNG = "text/event-stream", "image/png"
PREVIEW = 85  # quality of a preview as JPEG


class RefusedError(Exception):
    """A request that is not answered, and why."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


class Door:
    """Answers requests. ``replicas`` is Serve's handle of them."""

    def __init__(self, replicas: Any, service: Service) -> None:
        self._replicas = replicas
        self._most = service.waiting
        self._inside = 0  # edits that wait or run
        self._facts: dict[str, Any] | None = None
        self._queue = Queue()

    async def __call__(self, request: Request) -> Response:
        path = request.url.path.strip("/")
        try:
            if "origin" in request.headers:  # somebody's page must not make one's own machine work
                raise RefusedError(403, "pages of a browser are not answered; ask from a program")
            for task in FIELDS:
                if task == path:
                    _require("POST", request)
                    return await self._edit(task, request)
            others = {"models": self._models, "health": self._health, "ready": self._ready}
            answer = others.get(path)
            if answer is None:
                known = ", ".join(f"/{name}" for name in (*FIELDS, *others))
                raise RefusedError(404, f"nothing is here; there are {known}")
            _require("GET", request)
            return await answer()
        except RefusedError as refused:
            self._queue.refused(refused.status)
            return _refusal(refused.status, str(refused))
        except LostError as error:
            self._queue.refused(503)
            return _refusal(503, str(error))
        except EngineError as error:
            return _refusal(400, str(error))
        except Exception as error:
            return _refusal(500, broken(error))

    async def check_health(self) -> None:
        """Called by Serve every few seconds; Ray forgets a gauge that nobody sets."""
        self._queue.are(self._inside)

    async def _edit(self, task: Task, request: Request) -> Response:
        """An edit's answer, in the form that was asked for. Its place is kept until it is over."""
        if self._inside >= self._most:
            raise RefusedError(503, f"{self._inside} edits wait already; try again in {RETRY} s")
        self._enter(1)
        try:
            posted = await _posted(task, request)
            wanted = request.headers.get("accept", "")
            if EVENTS in wanted:
                events = self._lines(posted)
                headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
                return StreamingResponse(events, media_type=EVENTS, headers=headers)
            made = await self._made(posted)
            if PNG in wanted:
                return Response(made.files[0], media_type=PNG)
            return JSONResponse(_answer(made))
        finally:
            self._enter(-1)

    def _enter(self, number: int) -> None:
        self._inside += number
        self._queue.are(self._inside)

    async def _made(self, posted: Posted) -> Made:
        async with aclosing(self._told(posted, previews=False)) as tale:
            async for kind, what in tale:
                if kind == "error":
                    raise what
                if kind == "made":
                    made: Made = what
                    return made
        raise LostError("the edit ended without a result; try again")

    async def _lines(self, posted: Posted) -> AsyncGenerator[str, None]:
        """Server-sent events: ``begun``, ``scale`` with previews, and ``made`` or ``error``."""
        self._enter(1)  # here: what is never asked for its first line never ends either
        try:
            async with aclosing(self._told(posted, previews=True)) as tale:
                async for kind, what in tale:
                    if kind == "begun":
                        yield _line("begun", {"replica": what})
                    elif isinstance(what, ScaleDone):
                        yield _line("scale", _scale(what))
                    elif kind == "error":
                        yield _line("error", {"error": str(what), "status": 400})
                    elif kind == "made":
                        yield _line("made", _answer(what))
        except LostError as error:
            yield _line("error", {"error": str(error), "status": 503, "retry_after": RETRY})
        finally:
            self._enter(-1)

    async def _told(self, posted: Posted, *, previews: bool) -> AsyncGenerator[Told, None]:
        """What a replica tells of an edit; another one's, where that ends. Closing this cancels."""
        tale, place = Tale(), place_of(posted.image)
        while not tale.ended:
            there = self._replicas.options(stream=True, multiplexed_model_id=place)
            stream = there.steps.remote(posted, previews)
            try:
                async for told in stream:
                    if tale.is_news(told):
                        yield told
                break
            except Exception as error:
                tale.begin_again(error)
                await asyncio.sleep(PAUSE)
            finally:
                if not tale.ended:
                    stream.cancel()

    async def _models(self) -> Response:
        if self._facts is None:
            _, offers, loaded = await self._replicas.facts.remote()
            self._facts = {"loaded": loaded, "models": [vars(offer) for offer in offers]}
        return JSONResponse(self._facts)

    async def _health(self) -> Response:
        return JSONResponse({"inside": self._inside})

    async def _ready(self) -> Response:
        """Whether there is a replica, with its model loaded."""
        from ray import serve

        status = await asyncio.to_thread(serve.status)
        states = status.applications[NAME].deployments[REPLICA].replica_states
        number = sum(count for state, count in states.items() if str(state) == "RUNNING")
        if not number:
            raise RefusedError(503, "no replica is ready; the model is loading")
        return JSONResponse({"replicas": number})


async def _posted(task: Task, request: Request) -> Posted:
    """What a form asks for. Raises RefusedError where it is too long, EngineError."""
    kind = request.headers.get("content-type", "multipart/form-data")
    if not kind.startswith(("multipart/form-data", "application/x-www-form-urlencoded")):
        raise RefusedError(415, f"expected a form with files (got {kind[:60]})")
    texts: dict[str, list[str]] = {}
    files: dict[str, list[bytes]] = {}
    counted = Request(request.scope, _bounded(request))
    try:
        form = counted.form(max_files=FILES, max_fields=FILES, max_part_size=LONGEST_TEXT)
        async with form as fields:
            for name, value in fields.multi_items():
                if isinstance(value, UploadFile):
                    files.setdefault(name, []).append(await value.read())
                else:
                    texts.setdefault(name, []).append(value)
    except HTTPException as error:
        raise RefusedError(400, f"the form cannot be read: {error.detail}") from None
    return Posted.of(task, texts, files)


def _bounded(request: Request) -> Callable[[], Awaitable[MutableMapping[str, Any]]]:
    """A request's body, as long as it may be."""
    given = 0

    async def receive() -> MutableMapping[str, Any]:
        nonlocal given
        message = await request.receive()
        given += len(message.get("body", b""))
        if given > LONGEST_FORM:
            raise RefusedError(413, f"the form is longer than {LONGEST_FORM // MEGABYTE} MB")
        return message

    return receive


def _require(method: str, request: Request) -> None:
    if request.method != method:
        raise RefusedError(405, f"expected {method}, got {request.method}")


def _refusal(status: int, words: str) -> Response:
    headers = {"retry-after": str(RETRY)} if status == 503 else {}
    return JSONResponse({"error": " ".join(words.split())}, status, headers)


def _answer(made: Made) -> dict[str, Any]:
    return {"images": [b64encode(data).decode() for data in made.files], **made.report}


def _scale(event: ScaleDone) -> dict[str, Any]:
    previews = []
    for picture in event.previews():
        data = BytesIO()
        picture.convert("RGB").save(data, "JPEG", quality=PREVIEW)
        previews.append(b64encode(data.getvalue()).decode())
    where = {name: getattr(event, name) for name in ("index", "of", "scale", "frame", "frames")}
    return {**where, "previews": previews}


def _line(kind: str, what: dict[str, Any]) -> str:
    return f"event: {kind}\ndata: {json.dumps(what)}\n\n"
