"""The models that the window offers, loaded in the background, one edit at a time.

The engine is imported inside functions: torch takes seconds, and the page is up before it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from app.line import Line
from app.worker import Worker, in_own_thread
from engine.errors import EngineError

if TYPE_CHECKING:
    from engine.editor import Editor
    from engine.request import EditRequest

T = TypeVar("T")

KEPT = 2  # loaded models; the one unused longest is let go


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


class Models:
    """Loads editors by name, each once; ``chosen`` is the one that the window starts with."""

    def __init__(self, chosen: str = "auto", device: str = "auto") -> None:
        self.chosen = chosen
        self.device = device
        self._editors: dict[str, Editor] = {}
        self._loading = threading.RLock()
        self._warming = threading.Lock()
        self.line = Line()
        self._worker = Worker()

    def start(self) -> None:
        """Begin to load the first model; returns at once. A failure is told to who asks first."""

        def load() -> None:
            with suppress(Exception):  # told again, in words, to the first who needs the model
                self.editor(None)

        threading.Thread(target=load, name="load-model", daemon=True).start()

    def editor(self, name: str | None) -> Editor:
        """The editor of that name (None: the one the window started with), loaded if need be."""
        name = name or self.chosen
        with self._loading:
            if name not in self._editors:
                from engine import load_editor

                editor = in_own_thread(partial(load_editor, name, device=self.device))
                if name == self.chosen:
                    self.chosen = editor.name
                self._editors[editor.name] = editor
                name = editor.name
                while len(self._editors) > KEPT:
                    self._editors.pop(next(iter(self._editors)))
            editor = self._editors.pop(name)
            self._editors[name] = editor  # last used stands last
            return editor

    def ready(self, name: str | None = None) -> bool:
        """Whether a model is there; the first one if none is named."""
        return (name or self.chosen) in self._editors

    @contextmanager
    def alone(
        self,
        cancelled: threading.Event | None = None,
        ahead: Callable[[int], None] | None = None,
    ) -> Iterator[bool]:
        """Held while a model works: one edit at a time, whichever door it came through. As
        ``Line.turn``."""
        with self.line.turn(cancelled, ahead) as mine:
            yield mine

    def compute(self, name: str | None, work: Callable[[Editor], T]) -> T:
        """The result of ``work`` with the editor of that name, done in the models' thread."""
        editor = self.editor(name)
        return self._worker.do(lambda: work(editor))

    def warm(self, request: EditRequest) -> None:
        """Do ahead of an edit what its fast mode needs, if nobody is at work or in line; waits."""
        if len(self.line) or not self._warming.acquire(blocking=False):
            return
        try:
            self.compute(request.model, lambda editor: editor.warm(request))
        finally:
            self._warming.release()

    def _bytes_per_weight(self) -> int:
        """What a loaded model's weights take here; half precision until one is loaded."""
        for editor in self._editors.values():
            return next(editor.model.networks[-1].parameters()).element_size()
        return 2

    def offers(self) -> list[Offer]:
        """Every known model, those on disk first; the loaded ones are always among them."""
        offers: list[Offer] = []
        try:
            import engine
            from engine.weights.registry import OFFICIAL

            needs = {model.name: model.memory(self._bytes_per_weight()) for model in OFFICIAL}
            for info in engine.models():
                offers.append(
                    Offer(
                        name=info.name,
                        title=info.title,
                        about=info.about,
                        present=info.present,
                        bytes=info.bytes,
                        source=info.source,
                        memory=needs.get(info.name, 0),
                        licence=info.licence,
                    )
                )
        except EngineError:
            offers = []
        known = {offer.name for offer in offers}
        for name, editor in self._editors.items():
            if name not in known:
                offers.append(Offer(name, name, editor.about, True, source=str(editor.source)))
        return sorted(offers, key=lambda offer: not offer.present)


def facts(editor: Any) -> dict[str, Any]:
    """What a script may want to know about a loaded model."""
    return {
        "name": editor.name,
        "side": editor.side,
        "scales": list(editor.scales),
        "labels": list(editor.labels),
        "about": editor.about,
        "source": str(editor.source),
    }
