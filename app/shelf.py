"""The models in the window: got, used and removed from the dialog that app/catalogue.py writes.

The page's script (assets/models.js) says what was pressed, and asks every second how far a download
is while one goes on or the dialog is open; so nothing of it is lost with a page.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator

import gradio as gr

from app import catalogue, markup
from app.backend import Backend, Offer
from app.catalogue import Here
from app.downloads import Downloads
from app.screens import Screen
from engine.errors import EngineError, ModelNotFoundError

NOT_HERE = " · not here yet"
Load = Callable[[str], Iterator[Screen]]  # gives the screens of another model of the window's


class Shelf:
    """The callbacks of the dialog. Without ``downloads`` nothing can be fetched from it."""

    def __init__(self, backend: Backend, downloads: Downloads | None) -> None:
        self._backend = backend
        self._downloads = downloads

    def screen(
        self, using: str, *, opened: str = "", wrong: tuple[str, str] = ("", ""), number: str = ""
    ) -> Screen:
        """All entries as they are now, in a window that has the model ``using``."""
        states = self._downloads.states() if self._downloads is not None else {}
        offers = self._backend.offers()
        text = catalogue.shelf(
            offers, states, self._here(using, offers), opened=opened, wrong=wrong, number=number
        )
        return {"shelf": text}

    def choices(self) -> list[tuple[str, str]]:
        """(text, value) of each model in the list at the head."""
        return [
            (offer.title if offer.present else f"{offer.title}{NOT_HERE}", offer.name)
            for offer in self._backend.offers()
        ]

    def offer(self, name: str | None) -> Offer | None:
        """What is on offer under a name."""
        return next((offer for offer in self._backend.offers() if offer.name == name), None)

    def asked(self, what: str, using: str, load: Load) -> Iterator[Screen]:
        """What was pressed: "NUMBER VERB MODEL", or "NUMBER look" and the models that the page
        knows to be here."""
        words = what.split()[:200]
        number, verb, rest = "".join(words[:1]), "".join(words[1:2]), words[2:]
        name, wrong = rest[0] if rest else "", ("", "")
        try:
            if verb == "use":
                yield from load(name)
                using = name
            elif verb in ("get", "pause", "remove"):
                self._do(verb, name)
        except EngineError as error:
            why = str(error)
            wrong = (name, f"{why[:1].upper()}{why[1:]}.")
        screen = self.screen(using, wrong=wrong, number=number)
        if verb == "look":
            screen |= self._arrived(set(rest))
        elif verb == "remove":
            screen["model"] = gr.update(choices=self.choices())
        yield screen

    def _do(self, verb: str, name: str) -> None:
        if self._downloads is None:
            raise ModelNotFoundError("models are not fetched from this window")
        do = {"get": self._downloads.get, "pause": self._downloads.pause,
              "remove": self._downloads.remove}[verb]  # fmt: skip
        do(name)

    def _arrived(self, known: set[str]) -> Screen:
        """What the page does not know yet: a model that has come, or gone."""
        here = [offer for offer in self._backend.offers() if offer.present]
        if known == {offer.name for offer in here}:
            return {}
        screen: Screen = {"model": gr.update(choices=self.choices())}
        fresh = [offer.title for offer in here if offer.name not in known]
        if fresh:
            text = f"{fresh[0]} is here; choose it in the list of models."
            screen["status"] = markup.status(text, "done")
        return screen

    def _here(self, using: str, offers: list[Offer]) -> Here:
        if self._downloads is None or not self._downloads.allowed:
            return Here(using)
        folder = self._downloads.weights
        disk = shutil.disk_usage(folder if folder.is_dir() else folder.parent).free
        memory = 0
        if "torch" in sys.modules and self._backend.ready():  # else the page would wait for it
            from engine.weights.registry import free_memory

            memory = free_memory()
        first = ""
        if not any(offer.present and offer.published for offer in offers):
            first = next((offer.name for offer in offers if offer.published), "")
        return Here(using, True, disk, memory, first)
