"""The tools at the canvas's left, and what the chosen one can be told. assets/tools.js moves them.

The ImageEditor's own toolbar stays on the page, unseen: its buttons are pressed by the script.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from app.selection import TOLERANCE


@dataclass(frozen=True)
class Tool:
    """A tool: its key, its icon's paths on a 20 x 20 grid, what to do with it, its settings."""

    name: str
    title: str
    key: str
    icon: str
    hint: str
    settings: str = ""


TOOLS = (
    Tool("brush", "Brush", "B",
         '<path d="M16.5 3.5c-2.6 1-6.3 4.7-7.8 7.2l1.6 1.6c2.5-1.5 6.2-5.2 7.2-7.8z"/>'
         '<path d="M7.7 11.8c-2 .2-2.4 1.5-2.6 2.9-.1.9-.7 1.5-1.6 1.8 2.4.7 5.6.3 5.9-3z"/>',
         "", "size"),
    Tool("eraser", "Eraser", "E",
         '<path d="m8.3 16.2-4.6-4.6 7.9-7.9 5 5-7.5 7.5zM7.3 8l5 5M8.3 16.2h8.2"/>',
         "", "size"),
    Tool("rectangle", "Rectangle", "R",
         '<rect x="3.2" y="4.5" width="13.6" height="11" rx="1" stroke-dasharray="3 2"/>',
         "Drag a rectangle", "mode"),
    Tool("lasso", "Lasso", "L",
         '<path d="M7.4 13.4C4.8 12.9 3 11.3 3 9.3 3 6.6 6.1 4.5 10 4.5s7 2.1 7 4.8-3.1 '
         '4.5-7 4.5c-.7 0-1.4-.1-2-.2"/><path d="M7.3 12a1.6 1.6 0 1 0 .2 3.1c.3 1.1-.3 1.9-1.4 '
         '2.4"/>',
         "Draw around a part", "mode"),
    Tool("object", "Select a thing", "W",
         '<path d="m8.2 8.2 8.6 3.2-3.8 1.5-1.5 3.9z"/>'
         '<path d="M5.3 5.3 3.6 3.6M8.2 3.8V2M3.8 8.2H2M11 5.3l1.2-1.2M5.3 11l-1.2 1.2"/>',
         "Click it, or drag a box around it", "mode tolerance"),
    Tool("original", "Paint the original back", "O",
         '<path d="M3.5 10a6.5 6.5 0 1 0 2-4.7M3.3 3v3.2h3.2"/><circle cx="10" cy="10" r="2.1"/>',
         "Paint the original back", "size"),
    Tool("pan", "Pan", "H",
         '<path d="M10 3v14M3 10h14M10 3 8.2 4.8M10 3l1.8 1.8M10 17l-1.8-1.8M10 17l1.8-1.8M3 '
         '10l1.8-1.8M3 10l1.8 1.8M17 10l-1.8-1.8M17 10l-1.8 1.8"/>',
         "Drag to move, wheel to zoom"),
)  # fmt: skip
EYE = (
    '<path d="M2 10s3-5.2 8-5.2 8 5.2 8 5.2-3 5.2-8 5.2S2 10 2 10z"/>'
    '<circle cx="10" cy="10" r="2.3"/>'
)


def rail() -> str:
    """The buttons, one a tool, and the line of settings beside them."""
    buttons = "".join(
        f'<button type="button" data-tool="{tool.name}" data-hint="{escape(tool.hint)}" '
        f'data-settings="{tool.settings}" aria-pressed="false" title="{tool.title} ({tool.key})" '
        f'aria-label="{tool.title}">{_svg(tool.icon)}</button>'
        for tool in TOOLS
    )
    frames = (
        '<button type="button" id="show-frames" aria-pressed="true" aria-label="Show what the '
        f'model sees" title="Show what the model sees (F)">{_svg(EYE)}</button>'
    )
    return (
        f'<div id="rail" role="toolbar" aria-label="Tools" aria-orientation="vertical">{buttons}'
        f"<hr>{frames}</div>"
        '<div id="settings"><span class="hint"></span>'
        '<label class="size">Size<input type="range" min="1" max="100" aria-label="Brush size">'
        "<output></output></label>"
        f'<label class="tolerance">Tolerance<input type="range" min="2" max="80" '
        f'value="{TOLERANCE}" aria-label="Tolerance"></label>'
        '<button type="button" class="colour" aria-label="Another colour for the mask" '
        'title="Another colour for the mask"><i></i></button>'
        '<label class="auto" title="Runs as soon as a stroke is done"><input type="checkbox" '
        'id="auto-run">Run on release</label>'
        '<span class="mode" role="group" aria-label="Add or take away">'
        '<button type="button" data-take="" aria-pressed="true" title="Add (Shift)" '
        'aria-label="Add">+</button>'
        '<button type="button" data-take="1" aria-pressed="false" title="Take away (Alt)" '
        'aria-label="Take away">−</button></span></div>'
    )


def _svg(paths: str) -> str:
    return (
        '<svg viewBox="0 0 20 20" fill="none" stroke="currentColor" stroke-width="1.5" '
        f'stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">{paths}</svg>'
    )
