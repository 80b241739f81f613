"""The page: its widgets, and which handler each of them calls.

The canvas alone is inside ``gr.render``: a new picture renders it anew (see canvas.py). Two windows
must not render at the same moment, or the listeners of one are taken for stale ones of the other,
hence its concurrency limit of 1. What is painted comes with the event that needs it, as the
argument ``mask``, which the page's script fills in.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from app import canvas, files, markup, screens
from app.advanced import draw_advanced
from app.api import add_endpoints
from app.backend import Backend
from app.forms import MARGINS, OPTIONS
from app.handlers import ASPECTS, FORMATS, Handlers
from app.lean import skip_for_free
from app.limits import USUAL, Limits
from app.project import SUFFIX
from app.rail import rail
from app.screens import Screen, hint
from app.session import TASK_TITLES, Session
from app.tools import Tools
from app.words import in_words
from engine.request import SIDES
from engine.request.options import MAX_VARIATIONS

ASSETS = Path(__file__).resolve().parent.parent / "assets"
EXAMPLES = ASSETS / "examples"
PICTURES = (".jpg", ".jpeg", ".png", ".webp")
SCRIPTS = ("script.js", "overlay.js", "tools.js", "memory.js")  # in this order
RUNS = 24  # runs that wait in our own line, which tells them their place; the rest in Gradio's
THREADS = 256  # more than all that may wait there, of the window and of the endpoints
KEYWORDS = frozenset((*MARGINS, *OPTIONS))
FORM = ("session", "task", "label", "model", *MARGINS, *OPTIONS)
FIELDS = ("task", "label", "model", *MARGINS, *OPTIONS)  # what a page keeps for its return
SHOWN = (  # what handlers change; every event updates all of them, mostly by nothing
    "session", "key", "version", "ticket", "facts", "file", "status", "run", "cancel", "task",
    "label", "model", "model-note", "sides", "region-box", "regions", *MARGINS, *OPTIONS,
    "last-seed", "open", "import-mask", "undo", "redo", "shape", "sight", "preview", "compare",
    "results", "result-note", "result-row", "keep", "more", "more-scales", "use-result",
    "download", "save-project", "history",
)  # fmt: skip


def build_window(backend: Backend, limits: Limits = USUAL) -> gr.Blocks:
    """The whole window; launch it with ``launch_options()``."""
    handlers = Handlers(backend, limits)
    with gr.Blocks(title="varpaint", analytics_enabled=False, fill_width=True) as window:
        page = Page(handlers)
        page.draw()
        page.wire(window)
        add_endpoints(handlers)
    skip_for_free(window)
    return window


class Page:
    """The elements by name, and the wiring by names."""

    def __init__(self, handlers: Handlers) -> None:
        self.handlers = handlers
        self.tools = Tools(handlers.backend)
        self.parts: dict[str, Any] = {}

    # ---- what is on the page ----------------------------------------------------------------

    def draw(self) -> None:
        parts = self.parts
        parts["session"] = gr.State(Session(vault=self.handlers.vault))
        parts["key"] = gr.HTML("", elem_id="key", visible="hidden")
        parts["recall"] = gr.JSON(visible=False)
        parts["version"] = gr.State(0)
        parts["ticket"] = gr.State("")
        parts["mask"] = gr.Textbox(visible=False)  # what is painted; see Page.on
        with gr.Row(elem_id="head"):
            gr.HTML(markup.head(), elem_id="brand")
            parts["model-note"] = gr.HTML("", elem_id="model-note")
            self._add("model", gr.Dropdown, [], show_label=False, container=False, min_width=220)
            self._add("theme", gr.Button, "Light or dark", size="sm", min_width=0)
            self._add("help", gr.Button, "Hotkeys  ?", size="sm", min_width=0)
        with gr.Row(elem_id="columns", equal_height=False):
            with gr.Column(elem_id="form", scale=0, min_width=280):
                self._draw_form()
            with gr.Column(elem_id="stage", scale=5, min_width=420):
                self._draw_stage()
            with gr.Column(elem_id="outcome", scale=3, min_width=320):
                self._draw_outcome()
        gr.HTML(markup.hotkeys(), elem_id="dialogs")
        parts["facts"] = gr.HTML("", elem_id="facts-box")
        parts["file"] = gr.File(visible="hidden", elem_id="file", interactive=False)

    def _add(self, name: str, kind: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        if kind in (gr.Textbox, gr.Dropdown, gr.Slider, gr.Radio):
            kwargs.setdefault("interactive", True)  # Gradio does not see the inputs of gr.render
        self.parts[name] = kind(*args, elem_id=name, **kwargs)

    def _draw_form(self) -> None:
        choices = [(title, name) for name, title in TASK_TITLES.items()]
        self._add("task", gr.Radio, choices, value="inpaint", show_label=False, container=False)
        self._add("label", gr.Dropdown, [], label="Class (optional)")
        with gr.Column(elem_id="region-box", visible=False) as self.parts["region-box"]:
            self._add("region-add", gr.Button, "Add as a region", size="sm")
            self._add("regions", gr.HTML, "", js_on_load=markup.REGION_CLICKS)
        with gr.Group(elem_id="sides", visible=False) as self.parts["sides"]:
            gr.HTML("<h4>Extend by <em>pixels or %</em></h4>")
            with gr.Row(elem_id="cross"):
                for side in SIDES:
                    self._add(
                        f"extend-{side}", gr.Textbox, "", placeholder="0", label=side.title(),
                        min_width=60, max_lines=1,
                    )  # fmt: skip
            with gr.Row(elem_id="aspects"):
                for ratio in ASPECTS:
                    name = f"aspect-{ratio.replace(':', '-')}"
                    self._add(name, gr.Button, ratio, size="sm", min_width=0)
        with gr.Row(elem_id="draws"):
            self._add("seed", gr.Textbox, "", label="Seed", placeholder="random", max_lines=1,
                      min_width=80)  # fmt: skip
            self._add("variations", gr.Slider, 1, MAX_VARIATIONS, 2, step=1, label="Variations",
                      min_width=120)  # fmt: skip
        self._add("last-seed", gr.Button, "", size="sm", visible=False)
        with gr.Accordion("Advanced", open=False, elem_id="advanced"):
            draw_advanced(self._add)
        with gr.Column(elem_id="go"):
            self._add("status", gr.HTML, markup.status(hint(Session(), "inpaint")))
            with gr.Row():
                self._add("run", gr.Button, "Run", variant="primary", scale=3, min_width=100)
                self._add("cancel", gr.Button, "Cancel", interactive=False, scale=1, min_width=80)

    def _draw_stage(self) -> None:
        with gr.Row(elem_id="tools"):
            self._add("open", gr.UploadButton, "Open", size="sm", min_width=0,
                      file_types=[*PICTURES, SUFFIX], type="filepath")  # fmt: skip
            self._add("undo", gr.Button, "Undo", size="sm", min_width=0, interactive=False)
            self._add("redo", gr.Button, "Redo", size="sm", min_width=0, interactive=False)
            gr.HTML("<span></span>", elem_classes="gap")
            self._add("mask-clear", gr.Button, "Clear mask", size="sm", min_width=0)
            self._add("mask-invert", gr.Button, "Invert", size="sm", min_width=0)
            self._add("mask-grow", gr.Button, "Grow", size="sm", min_width=0)
            self._add("mask-shrink", gr.Button, "Shrink", size="sm", min_width=0)
            self._add("mask-last", gr.Button, "Last mask", size="sm", min_width=0)
            self._add("import-mask", gr.UploadButton, "Import", size="sm", min_width=0,
                      file_types=list(PICTURES), type="filepath")  # fmt: skip
            self._add("export-mask", gr.Button, "Export", size="sm", min_width=0)
        gr.HTML(rail(), elem_id="hand")
        for name in ("pick", "stroke-back", "painted", "ahead", "label-how"):  # from the scripts
            self._add(name, gr.Textbox, "", visible="hidden", show_label=False, max_lines=1)
        parts = self.parts
        parts["shape"] = gr.HTML("", elem_id="shape-box", visible="hidden")
        parts["sight"] = gr.HTML("", elem_id="sight-box", visible="hidden")
        self.stage = gr.Column(elem_id="easel")
        self._add("examples", gr.Gallery, _example_thumbs(), format="png", show_label=False,
                  allow_preview=False, columns=6, height="auto", object_fit="cover",
                  interactive=False, buttons=[], container=False)  # fmt: skip

    def _draw_outcome(self) -> None:
        self._add("compare", gr.ImageSlider, visible=False, format="png", show_label=False,
                  interactive=False, buttons=["fullscreen"], container=False)  # fmt: skip
        self._add("preview", gr.HTML, markup.empty())
        self._add("results", gr.Gallery, visible=False, format="png", show_label=False,
                  allow_preview=False, columns=6, height="auto", object_fit="cover",
                  interactive=False, buttons=[], container=False)  # fmt: skip
        self._add("result-note", gr.HTML, "")
        with gr.Row(elem_id="result-row", visible=False) as self.parts["result-row"]:
            self._add("keep", gr.Button, "Keep", size="sm", min_width=60)
            self._add("more", gr.Button, "More like this", size="sm", min_width=110)
            self._add("more-scales", gr.Dropdown, [], show_label=False, container=False,
                      min_width=120, filterable=False)  # fmt: skip
        with gr.Row(elem_id="take"):
            self._add("use-result", gr.Button, "Use this", variant="primary", size="sm",
                      interactive=False, scale=2, min_width=80)  # fmt: skip
            self._add("format", gr.Dropdown, list(FORMATS), value="PNG", show_label=False,
                      container=False, min_width=80, scale=1, filterable=False)  # fmt: skip
            self._add("download", gr.Button, "Download", size="sm", interactive=False, scale=1,
                      min_width=80)  # fmt: skip
        with gr.Row(elem_id="past"):
            gr.HTML("<span>History</span>")
            self._add("save-project", gr.Button, "Save project", size="sm", min_width=0,
                      interactive=False)  # fmt: skip
        self._add("history", gr.Gallery, visible=False, format="png", label="History",
                  allow_preview=False, columns=8, rows=1, height="auto", object_fit="cover",
                  interactive=False, buttons=[], show_label=False, container=False)  # fmt: skip

    # ---- what it does -----------------------------------------------------------------------

    def wire(self, window: gr.Blocks) -> None:
        do, parts = self.handlers, self.parts
        self.on(window.load, do.opened, ["recall"], js="varpaint.recall")
        names = json.dumps(FIELDS)
        gr.on(
            [parts[name].change for name in FIELDS],
            None,
            [parts[name] for name in FIELDS],
            None,
            js=f"(...values) => varpaint.keep({names}, values)",
        )
        self.on(parts["model"].input, do.model_changed, ["model", "task", "label"])
        self.on(
            parts["task"].change, do.task_changed,
            ["task", "label", "label-how", "model", "session"], alone=False,
            js="varpaint.taskChanged",
        )  # fmt: skip
        self.on(parts["open"].upload, do.open_picture, ["open", "mask", "task", "session", "model"])
        self.on(parts["import-mask"].upload, do.import_mask, ["import-mask", "mask", "session"])
        self.on(parts["mask-last"].click, do.last_mask, ["mask", "session"])
        started = self.on(
            parts["run"].click, do.runs.prepare, ["ticket", "session"], queue=False, alone=False
        )
        self.on(
            started.then, do.runs.run, ["ticket", "mask", *FORM], alone=False,
            concurrency_limit=RUNS,
        )  # fmt: skip
        for how in ("clear", "invert", "grow", "shrink"):
            self.on(parts[f"mask-{how}"].click, _fixed(do.change_mask, how), ["mask", "session"])
        self.on(parts["region-add"].click, do.add_region, ["mask", "label", "session"])
        self.pick(parts["regions"].click, do.remove_region, ["mask", "session"])
        written = self.on(
            parts["save-project"].click, do.save_project, ["mask", "session", *FIELDS], alone=False
        )
        written.success(None, parts["file"], None, js="varpaint.save")
        asked = self.on(
            parts["export-mask"].click, do.export_mask, ["mask", "session"], alone=False
        )
        asked.success(None, parts["file"], None, js="varpaint.save")
        self.on(
            parts["stroke-back"].change, self.tools.paint_back, ["stroke-back", "mask", "session"],
            trigger_mode="multiple",
        )  # fmt: skip
        self.on(parts["cancel"].click, do.runs.cancel, ["ticket", "session"], queue=False,
                alone=False)  # fmt: skip
        self.on(parts["use-result"].click, do.use, ["task", "mask", "session"])
        self.on(parts["undo"].click, do.undo, ["mask", "session"])
        self.on(parts["redo"].click, do.redo, ["mask", "session"])
        self.on(parts["last-seed"].click, do.again, ["session"])
        self.pick(parts["results"].select, do.choose, ["session"])
        self.pick(parts["history"].select, do.jump, ["mask", "session"])
        saved = self.on(
            parts["download"].click, do.download, ["format", "session"], alone=False
        )
        saved.success(None, parts["file"], None, js="varpaint.save")
        self.on(parts["keep"].click, do.keep, ["session"])
        again = self.on(
            parts["more"].click, do.runs.prepare, ["ticket", "session"], queue=False, alone=False
        )
        self.on(
            again.then, do.runs.more,
            ["ticket", "more-scales", "session", "model", "variations", "candidates"],
            concurrency_limit=RUNS, alone=False,
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
        with self.stage:
            gr.render(
                inputs=[parts["session"]],
                triggers=[window.load, parts["version"].change],
                concurrency_limit=1,
                concurrency_id="mount",
                show_progress="hidden",
            )(self.mount)

    def mount(self, session: Session) -> None:
        """A new editor for the current picture."""
        moment = session.current
        value, brush, classes = None, 18, ["blank"]
        if moment is not None:
            brush = canvas.brush_radius(moment.size)
            shown = screens.tinted(canvas.proxy(moment.image), moment.regions)
            value = canvas.editor_value(shown, moment.mask)
            classes = [f"size-{shown.width}x{shown.height}", "filled"]
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
        self.on(editor.clear, _fixed(self.handlers.change_mask, "clear"), ["mask", "session"])

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
            options["js"] = f"(...values) => varpaint.withMask(values, {at})"
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


def example_pictures() -> list[Path]:
    """The pictures to click on an empty canvas."""
    if not EXAMPLES.is_dir():
        return []
    return sorted(p for p in EXAMPLES.iterdir() if p.suffix.lower() in PICTURES)[:6]


def _example_thumbs() -> list[tuple[Image.Image, str]]:
    thumbs = []
    for path in example_pictures():
        thumb = files.opened(path).convert("RGB")
        thumb.thumbnail((224, 168))
        thumbs.append((thumb, path.stem.replace("_", " ")))
    return thumbs


def launch_options() -> dict[str, Any]:
    """Style, script and the safe side of Gradio's switches, for ``Blocks.launch``."""
    from app.theme import theme

    scripts = [(ASSETS / name).read_text() for name in SCRIPTS]
    return {
        "theme": theme(),
        "css_paths": [ASSETS / "style.css", ASSETS / "work.css"],
        "head": "".join(f"<script>{script}</script>" for script in scripts),
        "footer_links": [],
        "max_threads": THREADS,
        "run_history": False,
        "enable_monitoring": False,
        "strict_cors": True,
        "allowed_paths": [],
        "max_file_size": "512mb",  # of a project; pictures have a limit of their own
        "show_error": True,
        "favicon_path": str(ASSETS / "icon.svg"),
    }
