"""One replica of a fleet: the models of one process, and one edit at a time.

What it tells of an edit are values that travel (`engine.serving.told`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from PIL import Image

from engine import (
    EditRequest,
    EngineError,
    Finished,
    Painted,
    RequestError,
    Result,
    ScaleDone,
)
from engine.serving.backend import Offer, facts
from engine.serving.bounds import broken
from engine.serving.counts import Counts
from engine.serving.live import Live
from engine.serving.local import Local
from engine.serving.posted import Posted
from engine.serving.service import Service
from engine.serving.told import Made, Told

PICTURES = 8  # that a replica is known to remember; of their edits, the next ones come here


@dataclass(frozen=True)
class Shown:
    """A sketch that was made."""

    made: tuple[Image.Image, ...] = ()

    def pictures(self, count: int | None) -> list[Image.Image]:
        return list(self.made[:count])


class Replica:
    """A process of a fleet. Its methods are called by others, from elsewhere."""

    def __init__(self, service: Service) -> None:
        """Loads the model. Raises EngineError."""
        import cv2
        import torch
        from ray import serve

        torch.set_num_threads(service.threads)
        cv2.setNumThreads(service.threads)
        self._models = Local(service.model, service.device, service.bounds)
        self._models.editor(None)
        self._turn = asyncio.Lock()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="edit")
        self._remembers = serve.multiplexed(max_num_models_per_replica=PICTURES)(_known)
        self._counts = Counts()
        self._name: str = serve.get_replica_context().replica_id.unique_id

    async def facts(self) -> tuple[str, list[Offer], dict[str, Any]]:
        """The model that the fleet starts with, all on offer, and what a script may know of it."""
        models = self._models
        return models.chosen, models.offers(), facts(models.card())

    async def card(self, name: str | None) -> Any:
        """The card of a model, or the EngineError why there is none."""
        try:
            return await self._done(self._models.card, name)
        except EngineError as error:
            return error

    async def warm(self, request: EditRequest) -> None:
        """As `Backend.warm`; not while somebody edits here."""
        await self._remember()
        if not self._turn.locked():
            with suppress(EngineError):  # what is wrong with it, its edit tells
                await self._done(self._models.warm, request)

    async def steps(self, asked: EditRequest | Posted, previews: bool) -> AsyncIterator[Told]:
        """An edit's events, and its result. Of a `Posted` one the result is ("made", Made)."""
        await self._remember()
        came = time.perf_counter()
        async with self._turn:
            self._counts.took("wait", time.perf_counter() - came)
            yield "begun", self._name
            work, ended = self._work(asked, previews), "left"
            try:
                while (told := await self._done(next, work, None)) is not None:
                    ended = {"error": "failed", "event": ended}.get(told[0], "done")
                    yield told
            finally:  # whoever asked may have gone; what computes ends before the next begins
                await self._done(work.close)
                self._counts.ended(asked.task, ended)

    def _work(self, asked: EditRequest | Posted, previews: bool) -> Generator[Told, None, None]:
        """What an edit tells, made in one thread."""
        live, counts = Live(), self._counts
        request = partial(self._opened, asked) if isinstance(asked, Posted) else asked
        began = time.perf_counter()
        try:
            with closing(self._models.steps(request)) as events:
                for event in events:
                    if isinstance(event, Painted):  # large, and nobody far away looks at it
                        continue
                    if isinstance(event, ScaleDone):
                        shown = Shown(tuple(live.pictures(event)) if previews else ())
                        yield "event", replace(event, sketch=shown)
                    elif isinstance(event, Finished):
                        counts.took("edit", time.perf_counter() - began)
                        yield self._result(asked, event.result)
                    else:
                        yield "event", event
        except EngineError as error:
            yield "error", error
        except Exception as error:  # a fault of ours; the next edit is none the worse
            yield "error", RequestError(broken(error))

    def _opened(self, posted: Posted) -> EditRequest:
        began = time.perf_counter()
        request = posted.request()
        self._counts.took("open", time.perf_counter() - began)
        return request

    def _result(self, asked: EditRequest | Posted, result: Result) -> Told:
        if isinstance(asked, EditRequest):
            return "event", Finished(replace(result, request=bare(result.request)))
        began = time.perf_counter()
        files = tuple(result.png(index) for index in range(len(result.images)))
        self._counts.took("write", time.perf_counter() - began)
        report = {
            "seeds": list(result.seeds),
            "scores": list(result.scores),
            "seconds": result.seconds,
            "notes": list(result.notes),
            "request": result.request.model_dump(exclude_none=True, mode="json"),
        }
        return "made", Made(files, report)

    async def _done(self, function: Callable[..., Any], *given: Any) -> Any:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, function, *given)

    async def _remember(self) -> None:
        """Say that what this call's picture needs will be remembered here."""
        from ray import serve

        picture = serve.get_multiplexed_model_id()
        if picture:
            await self._remembers(picture)


async def _known(picture: str) -> str:
    return picture


def bare(request: EditRequest) -> EditRequest:
    """A request without its pictures: whoever asked has them."""
    regions = tuple(region.model_copy(update={"mask": None}) for region in request.regions)
    return request.model_copy(update={"image": None, "mask": None, "regions": regions})
