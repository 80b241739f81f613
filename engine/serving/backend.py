"""All that the window wants of the engine: `Backend`. On this machine that is
`engine.serving.local`, on many `engine.serving.fleet`.

Handlers and endpoints see cards, plans and events, never networks. Only models on offer can be
asked for: what comes from a page or over HTTP is a name, never a path.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from engine import EditRequest, Event
from engine.plan.card import Card
from engine.plan.plan import Plan
from engine.serving.line import Flag

Asked = EditRequest | Callable[[], EditRequest]
"""A request, or what makes it once its turn has come: what is large is not opened before."""


@dataclass(frozen=True)
class Offer:
    """A model in the menu, and what is honest to say about it."""

    name: str
    title: str
    about: str
    present: bool
    bytes: int = 0
    source: str = ""
    memory: int = 0  # bytes that an edit takes, roughly; 0 where nobody knows
    licence: str = ""
    commercial: bool = True
    suits: str = ""  # whom, in a few words
    published: bool = False  # it can be downloaded, and removed
    missing: int = 0  # bytes still to come
    begun: bool = False  # some is here


class Backend(Protocol):
    """Edits, one after the other or on many machines. Names are those of ``offers``; None and
    "auto" stand for the model that the window starts with."""

    @property
    def chosen(self) -> str:
        """The model that the window starts with."""
        ...

    def offers(self) -> list[Offer]:
        """Every known model, those that are present first."""
        ...

    def ready(self, name: str | None = None) -> bool:
        """Whether ``card`` answers at once."""
        ...

    def card(self, name: str | None = None) -> Card:
        """What is to be known of a model; waits until that is known. Raises EngineError."""
        ...

    def start(self) -> None:
        """Begin to get the first model ready; returns at once. Whoever needs it first hears what
        is wrong with it."""
        ...

    def load(self, name: str | None = None) -> Card:
        """Get a model ready for edits, and wait; its card. Raises EngineError, which says what is
        wrong with its files."""
        ...

    def plan(self, request: EditRequest) -> Plan:
        """What an edit would do, all checks made."""
        ...

    def steps(
        self,
        asked: Asked,
        cancelled: Flag | None = None,
        ahead: Callable[[int], None] | None = None,
    ) -> Generator[Event, None, None]:
        """An edit's events, once its turn has come; none if ``cancelled`` was set before.
        RequestError if it takes more than one edit may.

        ``ahead`` is told how many are before it, as long as there are any. Closing the iterator
        cancels within one scale; whoever asks for steps has to close it.
        """
        ...

    def wake(self) -> None:
        """Have those that wait notice that they were cancelled."""
        ...

    def forget(self, name: str) -> None:
        """Let go of a model whose files are to be deleted. RequestError if it is needed."""
        ...

    def warm(self, request: EditRequest) -> None:
        """Do ahead of an edit what its fast mode needs, where nobody waits."""
        ...


def facts(card: Card) -> dict[str, Any]:
    """What a script may want to know about a model."""
    return {
        "name": card.name,
        "side": card.side,
        "scales": list(card.scales),
        "labels": card.labels.choices(),
        "about": card.about,
        "source": last_of(card.source) if Path(card.source).is_absolute() else card.source,
    }


def last_of(source: str) -> str:
    """The last name of a path: others need not know where things lie here."""
    return Path(source).name
