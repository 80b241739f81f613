"""The models of this machine, behind the names of `engine.serving.backend`.

What computes is imported inside functions where it takes torch along: a page is up before that.
"""

from __future__ import annotations

import math
import shlex
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine import (
    EditRequest,
    EngineError,
    Event,
    ModelNotFoundError,
    RequestError,
    ScaleDone,
)
from engine.plan.card import Card
from engine.plan.plan import Plan, plan
from engine.serving.backend import Asked, Offer, last_of
from engine.serving.bounds import LARGE, Bounds, give_back
from engine.serving.line import Flag, Line

if TYPE_CHECKING:
    from engine import Editor

KEPT = 2  # loaded models; of those besides the first one the one unused longest is let go
ROOT = Path(__file__).resolve().parents[2]


def _python() -> str:
    """The interpreter that runs this, as one types it in varpaint's folder. Of one that lies
    elsewhere only the name: others may read it."""
    here = Path(sys.executable)
    return shlex.quote(str(here.relative_to(ROOT)) if here.is_relative_to(ROOT) else here.name)


GET = f"{_python()} -m engine models download"


class Local:
    """The models of this machine, each loaded once, in the background; one edit at a time.

    The networks compute in one thread, the same from run to run: what computes in parallel keeps
    helpers for each thread that asked for it, and where these are more than there are cores, all of
    them sleep between two steps, and a small operator takes several times as long. For that reason
    loading has a thread that ends with it, its helpers too.
    """

    def __init__(
        self, chosen: str = "auto", device: str = "auto", bounds: Bounds | None = None
    ) -> None:
        self.chosen = chosen
        self._given = chosen  # what the first model is loaded by: a path maybe
        self.device = device
        self.bounds = bounds or Bounds()
        self.line = Line()
        self._editors: dict[str, Editor] = {}
        self._cards: dict[str, Card] = {}
        self._started = False  # whether ``chosen`` is the name of a model that was found
        self._loading = threading.RLock()
        self._reading = threading.RLock()
        self._warming = threading.Lock()
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model")

    def start(self) -> None:
        def load() -> None:
            with suppress(Exception):  # told again, in words, to the first who needs the model
                self.editor(None)

        threading.Thread(target=load, name="load-model", daemon=True).start()

    def add(self, editor: Editor, *, first: bool = False) -> None:
        """Take in a model that is loaded already; as the window's own if it is the ``first``."""
        self._editors[editor.name] = editor
        self._cards[editor.name] = editor.card
        if first:
            self.chosen, self._started = editor.name, True

    def offers(self) -> list[Offer]:
        known = self._registered()
        extra = [
            Offer(card.name, card.name, card.about, True, source=last_of(card.source))
            for card in self._cards.values()
            if card.name not in {offer.name for offer in known}
        ]
        return sorted(known + extra, key=lambda offer: not offer.present)

    def ready(self, name: str | None = None) -> bool:
        return self._named(name) in self._cards

    def card(self, name: str | None = None) -> Card:
        """From its files, where it is not loaded."""
        with self._reading:
            return self._cards.get(self._named(name)) or self._read(self._named(name))

    def load(self, name: str | None = None) -> Card:
        return self.editor(name).card

    def plan(self, request: EditRequest) -> Plan:
        card = self.card(request.model)
        return plan(request.model_copy(update={"model": card.name}), card)

    def steps(
        self,
        asked: Asked,
        cancelled: Flag | None = None,
        ahead: Callable[[int], None] | None = None,
    ) -> Generator[Event, None, None]:
        with self.alone(cancelled, ahead) as mine:
            if not mine:
                return
            request = asked if isinstance(asked, EditRequest) else asked()
            editor = self.editor(request.model)
            request = request.model_copy(update={"model": editor.name})
            begun = partial(editor.steps, request, **vars(self.bounds))
            events = self._worker.submit(begun).result()
            try:
                while (event := self._worker.submit(next, events, None).result()) is not None:
                    if isinstance(event, ScaleDone):
                        sketch: Any = event.sketch
                        event = replace(event, sketch=replace(sketch, worker=self._worker))
                    yield event
            finally:
                self._worker.submit(_close, events).result()
                if request.image is not None and math.prod(request.image.size) > LARGE:
                    give_back()

    def wake(self) -> None:
        self.line.wake()

    def warm(self, request: EditRequest) -> None:
        editor = self._editors.get(self._named(request.model))
        if editor is None or len(self.line) or not self._warming.acquire(blocking=False):
            return
        try:
            request = request.model_copy(update={"model": editor.name})
            self._worker.submit(editor.warm, request).result()
        finally:
            self._warming.release()

    @contextmanager
    def alone(
        self,
        cancelled: Flag | None = None,
        ahead: Callable[[int], None] | None = None,
    ) -> Iterator[bool]:
        """Held while a model works: one edit at a time, whichever door it came through. As
        ``Line.turn``."""
        with self.line.turn(cancelled, ahead) as mine:
            yield mine

    def editor(self, name: str | None) -> Editor:
        """The editor of a model on offer, loaded if need be; for whoever is on this machine."""
        with self._loading:
            name = self.card(name).name
            if name not in self._editors:
                self.add(self._loaded(name))
            editor = self._editors.pop(name)
            self._editors[name] = editor  # last used stands last
            others = [each for each in self._editors if each not in (self.chosen, name)]
            while len(self._editors) > KEPT and others:
                del self._editors[others.pop(0)]
            return editor

    def forget(self, name: str) -> None:
        """Let go of a model whose files are to be deleted. RequestError if it is the one that the
        window starts with, or a part of that."""
        with self._loading:
            if name in self.chosen.split("@")[0].split("+"):
                raise RequestError(
                    f"{name} is what this server starts with; start it with another --model first"
                )
            for each in list(self._cards):
                if name in each.split("@")[0].split("+"):
                    self._editors.pop(each, None)
                    self._cards.pop(each, None)

    def _named(self, name: str | None) -> str:
        """The name that stands for a model here."""
        return self.chosen if name in (None, "", "auto") else str(name)

    def _read(self, name: str) -> Card:
        """The card of ``chosen``, which may be a path, or of a name on offer."""
        from engine.loading import files_of
        from engine.weights.cards import read_card

        first = name == self.chosen and not self._started
        if not first:
            self._require_offered(name)
        try:
            files = files_of(name, device=self.device)
            card = read_card(files)
        except EngineError as error:
            raise type(error)(self._without_folders(str(error))) from None
        if first:
            card = replace(card, name=self._own_name(card))
            self._given = files.name if name == "auto" else name
            self.chosen, self._started = card.name, True
        self._cards[card.name] = card
        return card

    def _loaded(self, name: str) -> Editor:
        """The editor of a model whose card is known."""
        from engine.loading import load_in_own_process

        given = self._given if name == self.chosen else name
        try:
            with ThreadPoolExecutor(max_workers=1, thread_name_prefix="once") as once:
                editor = once.submit(load_in_own_process, given, device=self.device).result()
        except EngineError as error:
            raise type(error)(self._without_folders(str(error))) from None
        editor.card = replace(editor.card, name=name)
        return editor

    def _require_offered(self, name: str) -> None:
        """Refuse a model that is not on offer, or a pair of which one is not."""
        from engine.weights.registry import pair_of

        pair, known = pair_of(name), {each.name: each for each in self.offers()}
        for part in (name,) if pair is None else pair[:2]:
            if part not in known:
                names = ", ".join(known)
                raise ModelNotFoundError(f"unknown model {_short(part)}; known: {names}")
            if not known[part].present:
                raise ModelNotFoundError(f"model {part!r} is not here yet; run: {GET} {part}")

    def _own_name(self, card: Card) -> str:
        """A name for the model that the window starts with, which may come from a path whose last
        name is that of another model."""
        same = [offer.name for offer in self._registered() if offer.name == card.name]
        if not same or not Path(self._given).expanduser().exists():
            return card.name
        from engine.weights.places import WEIGHTS

        if Path(card.source).resolve() == (WEIGHTS / card.name).resolve():
            return card.name
        return f"{card.name} (from its folder)"

    def _without_folders(self, words: str) -> str:
        """Words without the folders of this machine: others may read them."""
        from engine.weights.places import WEIGHTS

        given = [Path(part).expanduser() for part in self._given.split("+")]
        near = [folder for path in given for folder in (path.parent, path.resolve().parent)]
        for folder in (WEIGHTS, WEIGHTS.parent, *near):
            if folder.is_absolute() and folder != Path("/"):
                words = words.replace(f"{folder}/", "")
        return words

    def _registered(self) -> list[Offer]:
        """What the registry knows, whether it is here or not."""
        from engine.weights.published import OFFICIAL
        from engine.weights.registry import models

        needs = {model.name: model.memory(self._bytes_per_weight()) for model in OFFICIAL}
        with suppress(EngineError):
            return [
                Offer(
                    name=info.name,
                    title=info.title,
                    about=info.about,
                    present=info.present,
                    bytes=info.bytes,
                    source=info.source if info.name in needs else last_of(info.source),
                    memory=needs.get(info.name, 0),
                    licence=info.licence,
                    commercial=info.commercial,
                    suits=info.suits,
                    published=info.published,
                    missing=info.missing,
                    begun=info.begun,
                )
                for info in models()
            ]
        return []

    def _bytes_per_weight(self) -> int:
        """What a loaded model's weights take here; half precision until one is loaded."""
        nets = [net for editor in self._editors.values() for net in editor.model.networks[-1:]]
        held = [each for net in nets for each in (*net.parameters(), *net.buffers())]
        # Norms and places stay in full precision whatever the matrices are in.
        return min((each.element_size() for each in held if each.is_floating_point()), default=2)


def _short(name: str) -> str:
    """A name that somebody else gave, as an error repeats it."""
    return repr(name if len(name) <= 60 else f"{name[:57]}...")


def _close(events: Any) -> None:
    events.close()
