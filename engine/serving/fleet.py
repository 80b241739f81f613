"""The replicas of a service behind the names of `engine.serving.backend`: a window on a fleet.

A picture's edits go where its last one went as long as there is room: that replica remembers it.
Elsewhere they take longer and make the same.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from engine import EditRequest, EngineError, Event, Finished, RequestError, Result
from engine.plan.card import Card
from engine.plan.plan import Plan, plan
from engine.serving.backend import Asked, Offer
from engine.serving.bounds import Bounds
from engine.serving.cluster import connected
from engine.serving.line import GLANCE, Flag
from engine.serving.service import NAME, REPLICA, serving
from engine.serving.told import PAUSE, Tale, Told, place_of

PATIENCE = 120.0  # seconds for a fleet to answer what takes it no time
SOON = 0.3  # seconds in which an edit begins where somebody is free


@dataclass(eq=False)
class _Run:
    """An edit on its way: what is heard of it."""

    request: EditRequest
    news: queue.Queue[Told | None] = field(default_factory=queue.Queue)
    begun: bool = False
    over: threading.Event = field(default_factory=threading.Event)
    stream: Any = None


class Fleet:
    """Edits on the replicas of a service. As `Backend`."""

    def __init__(self, address: str, bounds: Bounds | None = None) -> None:
        """Raises RequestError where there is no service."""
        self.chosen = "auto"
        self.bounds = bounds or Bounds()
        serve = serving("--fleet")
        connected(address, "--fleet")
        if NAME not in serve.status().applications:
            raise RequestError(
                f"--fleet: no service on the cluster at {address!r}; begin one: "
                f"python -m engine serve --ray {address}"
            )
        self._replicas: Any = serve.get_deployment_handle(REPLICA, app_name=NAME)
        self._offers: list[Offer] = []
        self._cards: dict[str, Card] = {}
        self._runs: list[_Run] = []  # as they were asked for
        self._lock = threading.Lock()
        self._asking = threading.Lock()

    def start(self) -> None:
        def ask() -> None:
            with suppress(Exception):  # told again, in words, to the first who needs it
                self.card()

        threading.Thread(target=ask, name="ask-fleet", daemon=True).start()

    def offers(self) -> list[Offer]:
        with self._asking:
            if not self._offers:
                self.chosen, self._offers, _ = self._answer("facts")
        return self._offers

    def ready(self, name: str | None = None) -> bool:
        return self._named(name) in self._cards

    def card(self, name: str | None = None) -> Card:
        self.offers()  # from where it is known what "auto" stands for
        known = self._cards.get(self._named(name))
        if known is None:
            told = self._answer("card", self._named(name))
            if isinstance(told, EngineError):
                raise told
            known = self._cards[self._named(name)] = told
        return known

    def load(self, name: str | None = None) -> Card:
        return self.card(name)  # its machines load it

    def plan(self, request: EditRequest) -> Plan:
        card = self.card(request.model)
        return plan(request.model_copy(update={"model": card.name}), card)

    def steps(
        self,
        asked: Asked,
        cancelled: Flag | None = None,
        ahead: Callable[[int], None] | None = None,
    ) -> Generator[Event, None, None]:
        """As `Backend.steps`, without the ``Painted`` ones. ``ahead`` counts the edits of this
        backend that are before it: those of others on the same fleet nobody knows."""
        run = _Run(self._checked(asked if isinstance(asked, EditRequest) else asked()))
        with self._lock:
            self._runs.append(run)
        before, patience = 0, SOON
        try:
            threading.Thread(target=self._listen, args=(run,), name="fleet", daemon=True).start()
            while cancelled is None or not cancelled.is_set():
                try:
                    told = run.news.get(timeout=patience)
                except queue.Empty:
                    told = None
                if told is None:
                    patience, now = GLANCE, self._before(run)
                    if ahead is not None and now and now != before:
                        ahead(now)
                    before = now
                    continue
                kind, what = told
                if kind == "error":
                    raise what
                if kind == "end":
                    return
                if kind == "begun":
                    run.begun = True
                    self.wake()
                else:
                    yield _with_pictures(what, run.request)
        finally:
            run.over.set()
            with self._lock:
                self._runs.remove(run)
            self.wake()
            if run.stream is not None:
                run.stream.cancel()

    def wake(self) -> None:
        with self._lock:
            for run in self._runs:
                run.news.put(None)

    def forget(self, name: str) -> None:
        raise RequestError("a service's machines have their own models; remove it there")

    def warm(self, request: EditRequest) -> None:
        if not self._runs:
            self._answer("warm", request, place=place_of(request.image))

    def _checked(self, request: EditRequest) -> EditRequest:
        """A request that may be sent. Its seed is drawn here: begun again, it is the same."""
        options = request.options.with_seed()
        request = request.model_copy(update={"options": options})
        self.plan(request).require(**vars(self.bounds))
        return request.model_copy(update={"model": self.card(request.model).name})

    def _listen(self, run: _Run) -> None:
        """What a replica tells of an edit; another one's, where that ends."""
        tale, place = Tale(), place_of(run.request.image)
        try:
            while not (tale.ended or run.over.is_set()):
                there = self._replicas.options(stream=True, multiplexed_model_id=place)
                run.stream = there.steps.remote(run.request, True)
                if run.over.is_set():
                    run.stream.cancel()
                try:
                    for told in run.stream:
                        if tale.is_news(told):
                            run.news.put(told)
                    break
                except Exception as error:
                    if run.over.is_set():
                        break
                    tale.begin_again(error)
                    time.sleep(PAUSE)
        except Exception as error:
            run.news.put(("error", error))
        finally:
            run.news.put(("end", None))

    def _before(self, run: _Run) -> int:
        """How many edits of this backend are before one that waits: those that wait longer, and
        one at work, for one of these at least has to end."""
        with self._lock:
            if run.begun or run not in self._runs:
                return 0
            waiting = [each for each in self._runs if not each.begun]
            return waiting.index(run) + (len(waiting) < len(self._runs))

    def _named(self, name: str | None) -> str:
        return self.chosen if name in (None, "", "auto") else str(name)

    def _answer(self, name: str, *given: Any, place: str = "") -> Any:
        """What some replica answers. Raises RequestError where none does."""
        from ray.exceptions import RayError
        from ray.serve.exceptions import RayServeException

        there = self._replicas.options(multiplexed_model_id=place)
        try:
            return getattr(there, name).remote(*given).result(timeout_s=PATIENCE)
        except (RayError, RayServeException, TimeoutError) as error:
            raise RequestError(
                f"the fleet does not answer ({type(error).__name__}); try again in a while"
            ) from None


def _with_pictures(event: Event, request: EditRequest) -> Event:
    """A result whose request has its pictures again, which did not travel."""
    if not isinstance(event, Finished):
        return event
    result: Result = event.result
    regions = tuple(
        region.model_copy(update={"mask": mine.mask})
        for region, mine in zip(result.request.regions, request.regions, strict=True)
    )
    pictures = {"image": request.image, "mask": request.mask, "regions": regions}
    return Finished(replace(result, request=result.request.model_copy(update=pictures)))
