"""Small pieces of HTML: the status line, the live preview, the empty state, the hotkey dialog.

Everything that did not come from this file is escaped.
"""

from __future__ import annotations

import base64
import io
import json
import secrets
from collections.abc import Mapping, Sequence
from html import escape
from typing import Literal

from PIL import Image

Tone = Literal["idle", "busy", "done", "error"]

REGION_COLOURS = (  # apart from each other and from the mask's pink; for light and dark pictures
    (0, 168, 232), (255, 159, 28), (46, 196, 102), (155, 93, 229), (241, 229, 63), (0, 119, 73),
    (255, 109, 77), (90, 75, 216), (132, 204, 22), (180, 83, 9), (20, 184, 166), (148, 163, 184),
)  # fmt: skip

PREVIEW_SIDE = 960  # pixels of a row of live previews, for dense screens too
REGION_CLICKS = """
element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-index]");
  if (button) trigger("click", { index: Number(button.dataset.index), value: null });
});
"""

HOTKEYS: tuple[tuple[str, tuple[tuple[tuple[str, ...], str], ...]], ...] = (
    ("Tools", (
        (("B",), "Brush"),
        (("E",), "Eraser"),
        (("[", "]"), "Smaller, larger brush"),
        (("R",), "Rectangle"),
        (("L",), "Lasso"),
        (("W",), "Select a thing: click or box"),
        (("Shift",), "Adds, Alt takes away, while drawn"),
        (("O",), "Paint the original back"),
    )),
    ("Mask", (
        (("X",), "Clear: begin a new mask"),
        (("I",), "Invert"),
        (("G",), "Grow"),
        (("S",), "Shrink"),
    )),
    ("View", (
        (("Space",), "Pan while held; H stays"),
        (("0",), "Fit the picture; the wheel zooms"),
        (("F",), "What the model sees"),
        (("C",), "Before the edit, while held"),
    )),
    ("Edit", (
        (("T",), "Crop, turn, resize"),
        (("Ctrl", "Enter"), "Run"),
        (("Esc",), "Cancel the run"),
        (("Ctrl", "Z"), "Undo a stroke, then an edit"),
        (("Ctrl", "Shift", "Z"), "Redo"),
        (("1", "…", "9"), "Choose a variation"),
        (("U",), "Use the chosen variation"),
    )),
    ("Files", (
        (("Ctrl", "V"), "Paste a picture"),
        (("Drop",), "Open; with Shift, as the mask"),
        (("Ctrl", "S"), "Download"),
        (("?",), "This list"),
    )),
)  # fmt: skip


def status(
    text: str, tone: Tone = "idle", detail: str = "", part: float | None = None
) -> str:
    """The status line: one sentence, a number or two at its end, and how much is done (0 to 1)."""
    end = f'<span class="detail">{escape(detail)}</span>' if detail else ""
    bar = f'<u class="bar"><u style="width:{100 * part:.1f}%"></u></u>' if part is not None else ""
    return (
        f'<div class="line {tone}"><i></i><span>{escape(text)}</span>{end}{bar}</div>'
    )


def wrong(text: str, field: str = "", folds: Sequence[str] = ()) -> str:
    """The status line of an error: the form's field that it is about, if it is, and the folds that
    this lies in, the outer one first. Each has a number: the same error may come again."""
    return (
        f'<div class="line error" data-id="{secrets.token_hex(4)}" data-field="{escape(field)}" '
        f'data-folds="{escape(" ".join(folds))}"><i></i><span>{escape(text)}</span></div>'
    )


def data_url(image: Image.Image, side: int = 1024) -> str:
    """A picture as a small JPEG inside the page: a live preview needs no request of its own."""
    stream = io.BytesIO()
    if max(image.size) > side:
        image = image.copy()
        image.thumbnail((side, side))
    image.convert("RGB").save(stream, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()


def preview(images: Sequence[Image.Image], scales: Sequence[int], grown: Sequence[str]) -> str:
    """The picture as it grows: every variation, and below them how far it is."""
    columns = 1 if len(images) == 1 else 2 if len(images) <= 4 else 3 if len(images) <= 9 else 4
    side = PREVIEW_SIDE // columns
    cells = "".join(
        f'<img alt="Variation {i + 1}" src="{data_url(image, side)}">'
        for i, image in enumerate(images)
    )
    return (
        f'<div class="grow" data-scale="{len(grown)}"><div class="cells c{columns}">{cells}</div>'
        f"{ladder(scales, grown)}</div>"
    )


def ladder(scales: Sequence[int], grown: Sequence[str]) -> str:
    """One rung a scale; those made show the first variation as it was then."""
    rungs = []
    for index, side in enumerate(scales):
        made = index < len(grown)
        image = f'<img alt="" src="{grown[index]}">' if made else "<s></s>"
        title = f"Scale {index + 1}: {side} × {side} tokens"
        rungs.append(f'<b class="{"on" if made else ""}" title="{title}">{image}{side}</b>')
    return f'<div class="scales">{"".join(rungs)}</div>'


def grown(scales: Sequence[int], pictures: Sequence[str]) -> str:
    """How a finished picture came to be; stays below the result."""
    return f'<div class="grown" data-scale="{len(pictures)}">{ladder(scales, pictures)}</div>'


def compare(before: str, after: str, at: float) -> str:
    """Before and after, side by side where a slider says; or a result that replaces nothing.
    ``at`` is the slider's place in percent of the width."""
    picture = f'<img class="after" alt="After" src="{escape(after)}">'
    if not before:
        return f'<figure class="compare alone">{picture}</figure>'
    return (
        f'<figure class="compare" style="--at:{at:.1f}%">{picture}'
        f'<img class="before" alt="Before" src="{escape(before)}"><i></i>'
        f'<input type="range" min="0" max="100" step="0.5" value="{at:.1f}" '
        'aria-label="Before and after"></figure>'
    )


def seen(
    url: str, *, number: int, count: int, extension: Sequence[int], alone: bool, looking: bool,
    version: int, task: str,
) -> str:  # fmt: skip
    """A variation for the page's script to lay over the canvas; not shown here. ``extension`` is
    (left, top, right, bottom) in the picture's pixels, ``alone`` one that replaces nothing."""
    add = " ".join(map(str, extension))
    return (
        f'<span id="seen" data-url="{escape(url)}" data-number="{number}" data-count="{count}" '
        f'data-add="{add}" data-alone="{int(alone)}" data-looking="{int(looking)}" '
        f'data-version="{version}" data-task="{task}"></span>'
    )


def sharp(number: str, version: int, url: str, box: Sequence[float], of: int) -> str:
    """A part of the picture, or of the variation ``of``, in full, for the page's script to lay over
    its small copy; not shown. ``box`` in parts of the sides."""
    return (
        f'<span id="sharp" data-id="{escape(number)}" data-of="{version} {of}" '
        f'data-number="{of}" data-url="{escape(url)}" data-box="{json.dumps(list(box))}"></span>'
    )


def says(tasks: Mapping[str, str]) -> str:
    """What each task does for the picture; the page shows the one that is chosen."""
    return "".join(f'<p data-task="{task}">{escape(text)}</p>' for task, text in tasks.items())


def waiting(text: str) -> str:
    """What stands in the preview's place before the first scale."""
    return f'<div class="grow" data-scale="0"><div class="hush"><u></u>{escape(text)}</div></div>'


def empty() -> str:
    """What the result column holds before there is a result; the page shows no such column."""
    return '<span class="empty"></span>'


def facts(
    size: tuple[int, int], shown: tuple[int, int], version: int, *, picture: str, mask: str,
    regions: str, undo: bool, redo: bool,
) -> str:  # fmt: skip
    """What the page's script needs to know about the picture and its history: its size, the size
    that it is shown at, and where it finds what belongs on the canvas, the picture, what is painted
    on it and its regions (each empty for none); not shown."""
    return (
        f'<span id="facts" data-width="{size[0]}" data-height="{size[1]}" '
        f'data-shown="{shown[0]}x{shown[1]}" data-picture="{escape(picture)}" '
        f'data-mask="{escape(mask)}" data-regions="{escape(regions)}" '
        f'data-version="{version}" data-undo="{int(undo)}" data-redo="{int(redo)}"></span>'
    )


def shape(
    number: str, version: int, url: str, *, take: bool = False, whole: bool = False,
    ask: str = "", yes: str = "",
) -> str:  # fmt: skip
    """A shape that the page's script puts on the mask, or takes off it, or that takes the place of
    the ``whole`` mask; not shown. ``number`` is another for each. Where there is something to
    ``ask`` before, ``yes`` is what the button says that agrees."""
    question = f' data-ask="{escape(ask)}" data-yes="{escape(yes)}"' if ask else ""
    return (
        f'<span id="shape" data-id="{escape(number)}" data-version="{version}" '
        f'data-take="{int(take)}" data-whole="{int(whole)}" data-url="{escape(url)}"{question}>'
        "</span>"
    )


def sight(version: int, frames: Sequence[tuple[int, int, int]], *, draws: bool = False) -> str:
    """The squares that the model would see, or ``draws`` in: (left, top, side) in the picture's
    pixels; the page's script draws them."""
    squares = json.dumps([list(frame) for frame in frames])
    says = ' data-draws="true"' if draws else ""
    return f'<span id="sight" data-version="{version}" data-frames="{squares}"{says}></span>'


def note(text: str, below: str = "", title: str = "") -> str:
    """A line of small print, a fainter one below it, and what a resting pointer is told."""
    more = f'<p class="small faint">{escape(below)}</p>' if below else ""
    about = f' title="{escape(title)}"' if title else ""
    return f'<p class="small"{about}>{escape(text)}</p>{more}'


def told(notes: Sequence[str]) -> str:
    """What did not go as asked, in words; nothing where all did."""
    lines = "".join(f"<li>{escape(note[:1].upper() + note[1:])}</li>" for note in notes)
    return f'<ul class="told">{lines}</ul>' if lines else ""


def regions(marks: Sequence[tuple[str, int]]) -> str:
    """The regions that wait: colour, class, and a button that takes it away (by its index)."""
    rows = "".join(
        f'<li><i style="background:rgb{REGION_COLOURS[colour]}"></i><span>{escape(label)}</span>'
        f'<button type="button" data-index="{index}" aria-label="Remove region {index + 1}">'
        "✕</button></li>"
        for index, (label, colour) in enumerate(marks)
    )
    return f'<ol class="regions">{rows}</ol>' if rows else ""


def key(key: str) -> str:
    """What the page's script keeps, to find its work again after a refresh."""
    return f'<span data-key="{escape(key)}"></span>'


def go_on(name: str, steps: int, then: float) -> str:
    """The offer to go on with what this browser worked on last; ``then`` is when that was, in
    seconds since 1970, which the page says in its own words."""
    count = f", {steps} steps" if steps > 1 else ""
    return (
        f'<div class="offer" data-then="{then:.0f}"><p>Your last work is still here: '
        f"{escape(name)}{count}<span></span>. "
        '<button type="button" data-do="go-on">Go on with it</button></p>'
        '<button type="button" class="close" aria-label="Close this note">✕</button></div>'
    )


def lost() -> str:
    """That a page's work is gone from the server; the page's script adds what the browser has."""
    return (
        '<div class="offer lost"><p>The server no longer has the work of this page: it was started '
        "anew without keeping it, or that was too long ago. <span></span></p>"
        '<button type="button" class="close" aria-label="Close this note">✕</button></div>'
    )


def model_note(title: str, about: str, detail: str) -> str:
    """The model in a line that opens the dialog of all of them (app/catalogue.py); where there is
    no room for that, a word."""
    between = " · " if about else ""
    return (
        f'<button type="button" class="note" title="{escape(f"{title}. {about}")}"><b></b>'
        f'<span class="long">{escape(about)}{between}<em>{escape(detail)}</em></span>'
        '<span class="short">Models</span></button>'
    )


def head() -> str:
    """The name at the top left."""
    return (
        '<div class="brand"><svg viewBox="0 0 24 24" aria-hidden="true">'
        '<rect x="2" y="2" width="20" height="20" rx="5"/>'
        '<rect class="a" x="5.5" y="5.5" width="4" height="4" rx="1"/>'
        '<rect class="b" x="11" y="5.5" width="7.5" height="7.5" rx="1.4"/>'
        '<rect class="c" x="5.5" y="11" width="4" height="4" rx="1"/></svg>'
        "<h1>varpaint</h1><span>paint, extend and remake pictures</span></div>"
    )


def question() -> str:
    """The dialog that asks before what is rarely meant; assets/ask.js puts the words in."""
    return (
        '<dialog id="ask" aria-labelledby="ask-words"><form method="dialog"><p id="ask-words"></p>'
        '<div class="ends"><button value="no">Leave it</button>'
        '<button value="yes" class="main"></button></div></form></dialog>'
    )


def hotkeys() -> str:
    """The dialog that ? opens; hidden until then."""
    groups = "".join(
        f"<section><h3>{title}</h3><dl>"
        + "".join(
            f"<div><dt>{''.join(f'<kbd>{key}</kbd>' for key in keys)}</dt><dd>{what}</dd></div>"
            for keys, what in rows
        )
        + "</dl></section>"
        for title, rows in HOTKEYS
    )
    return (
        '<dialog id="hotkeys" aria-label="Hotkeys"><form method="dialog"><h2>Hotkeys</h2>'
        f'<div class="groups">{groups}</div><button>Close</button></form></dialog>'
    )
