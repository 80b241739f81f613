"""The page: its elements, by name. What they do is in wiring.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from app import catalogue, crop, markup
from app.advanced import draw_advanced
from app.api import add_endpoints
from app.backend import Backend
from app.downloads import Downloads
from app.examples import example_thumbs
from app.fields import FIELDS
from app.files import OPENED
from app.forms import VARIATIONS
from app.handlers import ASPECTS, Handlers
from app.kept import Kept
from app.lean import skip_for_free
from app.limits import USUAL, Limits
from app.project import SUFFIX
from app.rail import rail
from app.saving import FORMATS
from app.screens import SAYS, hint
from app.session import TASK_TITLES, Session
from app.vault import Vault
from app.wiring import Wiring
from engine.request import SIDES
from engine.request.options import MAX_VARIATIONS

ASSETS = Path(__file__).resolve().parent.parent / "assets"
SCRIPTS = (
    "page", "editor", "shapes", "marks", "opening", "lists", "keys", "overlay", "edges", "seen",
    "zoom", "sharp", "undo", "tools", "ask", "strokes", "crop", "touch", "run", "wrong", "memory",
    "models", "kept",
)  # fmt: skip
STYLES = (  # both in this order
    "frame", "form", "stage", "rail", "outcome", "dialogs", "crop", "small", "models",
)  # fmt: skip
AROUND = FIELDS["around"]  # beside the class, not among the advanced
THREADS = 256  # more than all that may wait there, of the window and of the endpoints


def build_window(
    backend: Backend, limits: Limits = USUAL, downloads: Downloads | None = None,
    kept: Kept | None = None,
) -> gr.Blocks:  # fmt: skip
    """The whole window; launch it with ``launch_options()``."""
    handlers = Handlers(backend, limits, downloads, kept)
    with gr.Blocks(title="varpaint", analytics_enabled=False, fill_width=True) as window:
        page = Page(handlers.vault)
        page.draw()
        Wiring(handlers, page.parts, page.easel).wire(window)
        add_endpoints(handlers)
    skip_for_free(window)
    return window


class Page:
    """The elements by name."""

    def __init__(self, vault: Vault) -> None:
        self.vault = vault
        self.parts: dict[str, Any] = {}

    def draw(self) -> None:
        parts = self.parts
        parts["session"] = gr.State(Session(vault=self.vault))
        parts["key"] = gr.HTML("", elem_id="key", visible="hidden")
        parts["recall"] = gr.JSON(visible=False)
        parts["shown"] = gr.State(None)  # the size at which the picture is shown, None for none
        parts["ticket"] = gr.State("")
        parts["looking"] = gr.Textbox("", visible=False)  # whether a variation lies over the canvas
        parts["mask"] = gr.Textbox(visible=False)  # what is painted; see Wiring.on
        with gr.Row(elem_id="head"):
            gr.HTML(markup.head(), elem_id="brand")
            parts["model-note"] = gr.HTML("", elem_id="model-note")
            self._add("model", gr.Dropdown, [], label="Model", show_label=False,
                      container=False, min_width=180)  # fmt: skip
            with gr.Row(elem_id="files"):
                self._add("format", gr.Dropdown, list(FORMATS), value=next(iter(FORMATS)),
                          show_label=False, label="File format", container=False, min_width=80,
                          filterable=False)  # fmt: skip
                self._add("download", gr.Button, "Download", size="sm", interactive=False,
                          min_width=0)  # fmt: skip
                self._add("save-project", gr.Button, "Save project", size="sm", min_width=0,
                          interactive=False)  # fmt: skip
            self._add("more-files", gr.Button, "More: format, project, keys", size="sm",
                      min_width=0)  # fmt: skip
            self._add("theme", gr.Button, "Light or dark", size="sm", min_width=0)
            self._add("help", gr.Button, "Hotkeys  ?", size="sm", min_width=0)
        with gr.Row(elem_id="columns", equal_height=False):
            with gr.Column(elem_id="form", scale=0, min_width=280):
                self._draw_form()
            with gr.Column(elem_id="stage", scale=5, min_width=420):
                self._draw_stage()
        dialogs = markup.hotkeys() + markup.question() + crop.dialog() + catalogue.dialog()
        gr.HTML(dialogs, elem_id="dialogs")
        parts["using"] = gr.State("")  # the model that the page has, by name
        parts["shelf"] = gr.HTML("", elem_id="shelf-box", visible="hidden")
        parts["facts"] = gr.HTML("", elem_id="facts-box")
        parts["file"] = gr.File(visible="hidden", elem_id="file", interactive=False)

    def _add(self, name: str, kind: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        if kind in (gr.Textbox, gr.Dropdown, gr.Slider, gr.Radio):
            kwargs.setdefault("interactive", True)  # Gradio does not see the inputs of gr.render
        self.parts[name] = kind(*args, elem_id=name, **kwargs)

    def _draw_form(self) -> None:
        choices = [(title, name) for name, title in TASK_TITLES.items()]
        self._add("task", gr.Radio, choices, value="inpaint", show_label=False, container=False)
        gr.HTML(markup.says(SAYS), elem_id="task-says")
        self._add("label", gr.Dropdown, [], label="Class (optional)")
        with gr.Column(elem_id="region-box", visible=False) as self.parts["region-box"]:
            self._add("around", gr.Radio, AROUND.options, value=AROUND.options[0][1],
                      label=AROUND.lever.title, info=AROUND.lever.help)  # fmt: skip
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
            self._add("variations", gr.Slider, 1, MAX_VARIATIONS, VARIATIONS, step=1,
                      label="Variations", min_width=120, elem_classes="slider")  # fmt: skip
        self._add("last-seed", gr.Button, "", size="sm", visible=False)
        with gr.Accordion("Advanced", open=False, elem_id="advanced"):
            draw_advanced(self._add)
        with gr.Column(elem_id="outcome"):
            self._draw_outcome()
        with gr.Column(elem_id="go"):
            self._add("leave-settings", gr.Button, "Leave its settings, take the usual ones",
                      size="sm", visible=False)  # fmt: skip
            self._add("status", gr.HTML, markup.status(hint(Session(), "inpaint")))
            with gr.Row():
                self._add("run", gr.Button, "Run", variant="primary", scale=3, min_width=100)
                self._add("cancel", gr.Button, "Cancel", interactive=False, scale=1, min_width=80)

    def _draw_stage(self) -> None:
        gr.HTML(catalogue.first_run(), elem_id="first-run")
        self.parts["offer"] = gr.HTML("", elem_id="offer")
        with gr.Row(elem_id="tools"):
            self._add("open", gr.UploadButton, "Open", size="sm", min_width=0,
                      file_types=[*OPENED, SUFFIX], type="filepath")  # fmt: skip
            self._add("show-examples", gr.Button, "Examples", size="sm", min_width=0)
            self._add("undo", gr.Button, "Undo", size="sm", min_width=0, interactive=False)
            self._add("redo", gr.Button, "Redo", size="sm", min_width=0, interactive=False)
            self._add("show-crop", gr.Button, "Crop, turn, resize", size="sm", min_width=0)
            gr.HTML("<span></span>", elem_classes="gap")
            self._add("mask-clear", gr.Button, "Clear mask", size="sm", min_width=0)
            self._add("mask-invert", gr.Button, "Invert the mask", size="sm", min_width=0)
            self._add("mask-grow", gr.Button, "Grow the mask", size="sm", min_width=0)
            self._add("mask-shrink", gr.Button, "Shrink the mask", size="sm", min_width=0)
            self._add("mask-last", gr.Button, "The last run's mask", size="sm", min_width=0)
            self._add("import-mask", gr.UploadButton, "Import mask", size="sm", min_width=0,
                      file_types=list(OPENED), type="filepath")  # fmt: skip
            self._add("export-mask", gr.Button, "Export mask", size="sm", min_width=0)
            self._add("more-mask", gr.Button, "More for the mask", size="sm", min_width=0)
        gr.HTML(rail(), elem_id="hand")
        # what the scripts say
        for name in ("pick", "look", "reshape", "stroke-back", "painted", "ahead", "label-how",
                     "ask-models"):
            self._add(name, gr.Textbox, "", visible="hidden", show_label=False, max_lines=1)
        parts = self.parts
        parts["shape"] = gr.HTML("", elem_id="shape-box", visible="hidden")
        parts["sight"] = gr.HTML("", elem_id="sight-box", visible="hidden")
        parts["seen"] = gr.HTML("", elem_id="seen-box", visible="hidden")
        parts["sharp"] = gr.HTML("", elem_id="sharp-box", visible="hidden")
        self.easel = gr.Column(elem_id="easel")
        self._add("compare", gr.HTML, "", visible=False)  # over it
        self._add("history", gr.Gallery, visible=False, format="png", label="History",
                  allow_preview=False, columns=8, rows=1, height="auto", object_fit="cover",
                  interactive=False, buttons=[], show_label=False, container=False)  # fmt: skip
        self._add("examples", gr.Gallery, example_thumbs(), format="png", show_label=False,
                  allow_preview=False, columns=6, height="auto", object_fit="cover",
                  interactive=False, buttons=[], container=False)  # fmt: skip

    def _draw_outcome(self) -> None:
        self._add("preview", gr.HTML, markup.empty())
        self._add("results", gr.Gallery, visible=False, format="png", show_label=False,
                  allow_preview=False, columns=6, height="auto", object_fit="cover",
                  interactive=False, buttons=[], container=False)  # fmt: skip
        with gr.Row(elem_id="take"):
            self._add("use-result", gr.Button, "Use this", variant="primary", size="sm",
                      interactive=False, scale=2, min_width=80)  # fmt: skip
            self._add("keep", gr.Button, "Keep for later", size="sm", min_width=60)
        with gr.Row(elem_id="result-row", visible=False) as self.parts["result-row"]:
            self._add("more", gr.Button, "More like this", size="sm", min_width=110)
            self._add("more-scales", gr.Dropdown, [], label="How alike", show_label=False,
                      container=False, min_width=120, filterable=False)  # fmt: skip
        self._add("result-note", gr.HTML, "")


def launch_options() -> dict[str, Any]:
    """Style, script and the safe side of Gradio's switches, for ``Blocks.launch``."""
    from app.theme import theme

    scripts = [(ASSETS / f"{name}.js").read_text() for name in SCRIPTS]
    return {
        "theme": theme(),
        "css_paths": [ASSETS / f"{name}.css" for name in STYLES],
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
