"""Which handler each element of the page calls, and what the page is shown of its answer.

The canvas alone is inside ``gr.render``: a picture of a new size renders it anew (see canvas.py).
Two windows must not render at the same moment, or the listeners of one are taken for stale ones of
the other, hence its concurrency limit of 1. What is painted comes with the event that needs it, as
the argument ``mask``, which the page's script fills in.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import gradio as gr

from app import canvas, views
from app.examples import example_pictures
from app.forms import MARGINS, OPTIONS
from app.handlers import ASPECTS, Handlers
from app.screens import Screen
from app.session import Session
from app.tools import Tools
from app.words import in_words

RUNS = 24  # runs that wait in our own line, which tells them their place; the rest in Gradio's
KEYWORDS = frozenset((*MARGINS, *OPTIONS))
FORM = ("session", "task", "label", "model", *MARGINS, *OPTIONS)
FIELDS = ("task", "label", "model", *MARGINS, *OPTIONS)
RECALLED = (*FIELDS, "format")  # what a page keeps for its return
SHOWN = (  # what handlers change; every event updates all of them, mostly by nothing
    "session", "key", "shown", "ticket", "facts", "file", "status", "run", "cancel", "task",
    "label", "model", "model-note", "using", "shelf", "offer", "sides", "region-box", "regions",
    *MARGINS, *OPTIONS, "format", "last-seed", "open", "import-mask", "undo", "redo", "shape",
    "sight",
    "preview", "compare", "results", "seen", "sharp", "leave-settings", "result-note",
    "result-row", "keep", "more",
    "more-scales", "use-result", "download", "save-project", "history",
)  # fmt: skip


class Wiring:
    """The wiring of a page's elements, ``parts`` by name; the canvas is put into ``easel``."""

    def __init__(self, handlers: Handlers, parts: dict[str, Any], easel: gr.Column) -> None:
        self.handlers = handlers
        self.tools = Tools(handlers.backend)
        self.parts = parts
        self.easel = easel

    def wire(self, window: gr.Blocks) -> None:
        do, parts = self.handlers, self.parts
        self.on(window.load, do.opened, ["recall"], js="varpaint.recall")
        names = json.dumps(RECALLED)
        gr.on(
            [parts[name].change for name in RECALLED],
            None,
            [parts[name] for name in RECALLED],
            None,
            js=f"(...values) => varpaint.keep({names}, values)",
        )
        self.on(parts["model"].select, do.model_changed, ["model", "using", "task", "label"])
        self.on(
            parts["ask-models"].change, do.models, ["ask-models", "using", "task", "label"],
            trigger_mode="multiple",
        )  # fmt: skip
        self.on(
            parts["task"].change, do.task_changed,
            ["task", "label", "label-how", "model", "session"], alone=False,
            js="varpaint.taskChanged",
        )  # fmt: skip
        self.on(parts["open"].upload, do.open_picture, ["open", "mask", "task", "session", "model"])
        self.on(parts["import-mask"].upload, do.masks.take, ["import-mask", "mask", "session"])
        self.on(parts["mask-last"].click, do.masks.last, ["mask", "session"])
        self.on(
            parts["run"].click, do.runs.run, ["ticket", "mask", *FORM], alone=False,
            concurrency_limit=RUNS,
        )  # fmt: skip
        for how in ("clear", "invert", "grow", "shrink"):
            self.on(parts[f"mask-{how}"].click, _fixed(do.masks.change, how), ["mask", "session"])
        self.on(parts["region-add"].click, do.masks.add_region, ["mask", "label", "session"])
        self.pick(parts["regions"].click, do.masks.remove_region, ["mask", "session"])
        written = self.on(
            parts["save-project"].click, do.saving.project, ["mask", "session", *FIELDS],
            alone=False,
        )
        written.success(None, parts["file"], None, js="varpaint.save")
        asked = self.on(
            parts["export-mask"].click, do.masks.export, ["mask", "session"], alone=False
        )
        asked.success(None, parts["file"], None, js="varpaint.save")
        self.on(
            parts["stroke-back"].change, self.tools.paint_back, ["stroke-back", "mask", "session"],
            trigger_mode="multiple",
        )  # fmt: skip
        self.on(parts["look"].change, self.tools.look, ["look", "session"], alone=False,
                trigger_mode="always_last")  # fmt: skip
        self.on(parts["leave-settings"].click, do.leave_settings, ["task", "model", "session"])
        self.on(parts["reshape"].change, self.tools.reshape, ["reshape", "mask", "session"])
        self.on(parts["cancel"].click, do.runs.cancel, ["ticket", "session"], queue=False,
                alone=False, js="varpaint.ofTicket")  # fmt: skip
        self.on(parts["use-result"].click, do.use, ["task", "mask", "session"])
        self.on(parts["undo"].click, do.undo, ["mask", "session"])
        self.on(parts["redo"].click, do.redo, ["mask", "session"])
        self.on(parts["last-seed"].click, do.again, ["session"])
        self.pick(parts["results"].select, do.choose, ["session"])
        self.pick(parts["history"].select, do.jump, ["mask", "session"])
        saved = self.on(
            parts["download"].click, do.saving.picture, ["format", "session", "looking"],
            alone=False, js="(...values) => [...values.slice(0, -1), varpaint.looking()]",
        )
        saved.success(None, parts["file"], None, js="varpaint.save")
        self.on(parts["keep"].click, do.keep, ["session"])
        self.on(
            parts["more"].click, do.runs.more,
            ["ticket", "more-scales", "session", "model", "variations", "candidates"],
            concurrency_limit=RUNS, alone=False, js="varpaint.withTicket",
        )  # fmt: skip
        for ratio in ASPECTS:
            button = parts[f"aspect-{ratio.replace(':', '-')}"]
            self.on(button.click, _fixed(do.aspect, ratio), ["session"])
        self.pick(
            parts["examples"].select, self._open_example, ["mask", "task", "session", "model"]
        )
        self.on(parts["pick"].change, self.tools.pick, ["pick", "session"], trigger_mode="multiple")
        self.on(
            partial(gr.on, [
                parts["painted"].change, parts["task"].change, parts["model"].change,
                parts["context"].change, *(parts[name].change for name in MARGINS),
            ]),
            self.tools.sight, ["painted", "session", "task", "model", "context", *MARGINS],
            trigger_mode="always_last", alone=False,
        )  # fmt: skip
        self.on(
            parts["ahead"].change, do.runs.ahead, ["mask", *FORM],
            trigger_mode="always_last", alone=False,
        )  # fmt: skip
        parts["theme"].click(None, js="varpaint.theme")
        parts["help"].click(None, js="varpaint.help")
        with self.easel:
            gr.render(
                inputs=[parts["session"]],
                triggers=[window.load, parts["shown"].change],
                concurrency_limit=1,
                concurrency_id="mount",
                show_progress="hidden",
            )(self.mount)

    def mount(self, session: Session) -> None:
        """The current picture for the editor; the page puts others of its size in its place."""
        moment = session.current
        value, brush, classes = None, 18, ["blank"]
        if moment is not None:
            brush = canvas.brush_radius(moment.size)
            width, height = canvas.proxy_size(moment.size)
            picture = canvas.file_of(views.picture_url(moment.held))
            value = canvas.editor_value(picture, moment.mask)
            classes = [f"size-{width}x{height}", "filled"]
            classes += ["masked"] if value["layers"] else []
        editor = canvas.mask_editor(
            value,
            elem_id="canvas",
            elem_classes=[f"version-{session.version}", *classes],
            height="100%",
            interactive=True,  # or a second mount of it turns into a picture without tools
            show_label=False,
            canvas_size=(800, 600),
            brush=gr.Brush(
                default_size=brush,
                colors=[(f"rgb{canvas.MASK_COLOUR}", canvas.MASK_OPACITY)],
                default_color=(f"rgb{canvas.MASK_COLOUR}", canvas.MASK_OPACITY),
                color_mode="fixed",
            ),
            eraser=gr.Eraser(default_size=brush),
            placeholder="# Drop a picture here\nor click to open one, or paste it",
            container=False,
            buttons=[],
        )
        self.on(editor.clear, _fixed(self.handlers.masks.change, "clear"), ["mask", "session"])

    def _open_example(
        self, index: int, painted: str, task: str, session: Session, model: str | None
    ) -> Iterator[Screen]:
        file = str(example_pictures()[index])
        return self.handlers.open_picture(file, painted, task, session, model)

    def on(
        self,
        event: Callable[..., Any],
        handler: Callable[..., Iterator[Screen]],
        inputs: Sequence[str],
        *,
        alone: bool = True,
        **options: Any,
    ) -> Any:
        """Call ``handler`` with the named elements' values; show the screens that it yields.

        Where ``mask`` is among them, the page puts what is painted in its place. The ``session`` is
        the newest of this window; only one that is ``alone`` with it may change it at its end.
        """
        safe = in_words(handler)

        def call(*values: Any) -> Iterator[list[Any]]:
            given = dict(zip(inputs, values, strict=True))
            keywords = {name: given.pop(name) for name in inputs if name in KEYWORDS}
            with self._turn(given, alone=alone):
                yield from self._shown(safe(*given.values(), **keywords))

        return self._listen(event, call, inputs, **options)

    def pick(
        self,
        event: Callable[..., Any],
        handler: Callable[..., Iterator[Screen]],
        inputs: Sequence[str],
    ) -> None:
        """The same for a click on one of several, such as a gallery's pictures: its index comes
        first."""
        safe = in_words(handler)

        def call(event: gr.SelectData, *values: Any) -> Iterator[list[Any]]:
            given = dict(zip(inputs, values, strict=True))
            with self._turn(given):
                yield from self._shown(safe(int(event.index), *given.values()))

        call.__annotations__["event"] = gr.SelectData
        self._listen(event, call, inputs)

    @contextmanager
    def _turn(self, given: dict[str, Any], *, alone: bool = True) -> Iterator[None]:
        """Put the window's newest session in the place of the one that the page sent."""
        session, store = given.get("session"), self.handlers.store
        if session is None:
            yield
        elif not alone:
            given["session"] = store.latest(session)
            yield
        else:
            with store.turn(session) as given["session"]:
                yield

    def _listen(
        self,
        event: Callable[..., Any],
        call: Callable[..., Iterator[list[Any]]],
        inputs: Sequence[str],
        **options: Any,
    ) -> Any:
        if "mask" in inputs:
            at = inputs.index("mask")
            values = "varpaint.withTicket(...values)" if "ticket" in inputs else "values"
            options["js"] = f"(...values) => varpaint.withMask({values}, {at})"
        return event(
            call,
            [self.parts[name] for name in inputs],
            [self.parts[name] for name in SHOWN],
            show_progress="hidden",
            api_visibility="private",
            **{"concurrency_limit": None, **options},
        )

    def _shown(self, screens: Iterator[Screen]) -> Iterator[list[Any]]:
        """Each screen as Gradio expects it, and one that changes nothing where there is none: of
        no answer at all Gradio (6.31) makes one that empties every element."""
        answered = False
        for screen in screens:
            answered = True
            yield self._in_order(screen)
        if not answered:
            yield self._in_order({})

    def _in_order(self, screen: Screen) -> list[Any]:
        """A screen as the list of updates that Gradio expects; its session is remembered."""
        unknown = screen.keys() - set(SHOWN)
        assert not unknown, f"elements that no handler may change: {unknown}"
        if "session" in screen:
            self.handlers.store.put(screen["session"])
        return [screen.get(name, gr.skip()) for name in SHOWN]


def _fixed(handler: Callable[..., Iterator[Screen]], first: Any) -> Callable[..., Iterator[Screen]]:
    """The handler with its first argument given."""

    def call(*args: Any) -> Iterator[Screen]:
        return handler(first, *args)

    return call
