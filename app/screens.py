"""Screens: what the page shows for a session, a step and a result.

A screen is a dict from element names to updates; what is not in it stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import cv2
import gradio as gr
import numpy as np
from PIL import Image

from app import canvas, clock, markup
from app.clock import Clock
from app.live import Live
from app.moments import Marked, Variation
from app.session import Session
from app.vault import Held

Screen = dict[str, Any]

RESULT_SIDE = 1280  # pixels of the pictures in the before/after slider
THUMB_SIDE = 192
TINT = 0.45  # how much of a region's colour lies over the picture
BESIDE = 3.0  # percent of the width between what was painted and where before and after meet
SHORT_SEED = 1000  # below it a seed fits on a thumbnail
LADDER_SIDE = 96  # pixels of the small pictures of each scale
HINTS = {
    "inpaint": "Paint over what should change, then press Run.",
    "outpaint": "Say how far to extend each side, then press Run.",
    "edit_class": "Paint a region, choose what it becomes, then press Run.",
    "generate": "Choose a class and press Run; no picture is needed.",
}


def hint(session: Session, task: str) -> str:
    """What to do next."""
    if session.current is None and task != "generate":
        return "Open a picture, or click an example, to begin."
    return HINTS[task]


_thumbs: WeakKeyDictionary[Held, Image.Image] = WeakKeyDictionary()


def idle() -> Screen:
    """The buttons when nothing runs."""
    return {
        "run": gr.update(interactive=True),
        "more": gr.update(interactive=True),
        "cancel": gr.update(interactive=False),
    }


def of_session(session: Session) -> Screen:
    """Everything that follows from the session, the results apart."""
    moment = session.current
    has_picture = moment is not None
    facts = regions = ""
    if moment is not None:
        width, height = moment.size
        facts = markup.facts(width, height, session.version)
        regions = markup.regions([(region.label, region.colour) for region in moment.regions])
    thumbs = [(thumb(m.held), m.caption) for m in session.moments]
    return {
        "session": session,
        "version": session.version,
        "facts": facts,
        "regions": regions,
        "undo": gr.update(interactive=session.can_undo),
        "redo": gr.update(interactive=session.can_redo),
        "download": gr.update(interactive=has_picture or session.outcome is not None),
        "save-project": gr.update(interactive=has_picture or session.outcome is not None),
        "history": gr.update(
            value=thumbs, selected_index=session.at if has_picture else None,
            visible=len(thumbs) > 1,
        ),
    }


def of_result(session: Session, *, gallery: bool = True) -> Screen:
    """The result column: nothing yet, or the chosen variation beside what was before."""
    outcome = session.outcome
    if outcome is None:
        return {
            "preview": gr.update(value=markup.empty(), visible=True),
            "compare": gr.update(value=None, visible=False),
            "results": _gallery(session),
            "result-row": gr.update(visible=False),
            "result-note": "",
            "use-result": gr.update(interactive=False),
        }
    after = canvas.proxy(outcome.image, RESULT_SIDE)
    before = _before(outcome, after.size)
    kept = outcome in session.kept
    screen: Screen = {
        "use-result": gr.update(interactive=True),
        "result-row": gr.update(visible=True),
        "keep": gr.update(value="Kept" if kept else "Keep", variant="primary" if kept else
                          "secondary"),
        "result-note": note(outcome, session.shown.index(outcome) + 1),
    }  # fmt: skip
    ladder = markup.grown(outcome.run.scales, outcome.run.grown)
    if before is None:
        screen["preview"] = gr.update(value=markup.alone(after, ladder), visible=True)
        screen["compare"] = gr.update(value=None, visible=False)
    else:
        screen["preview"] = gr.update(value=ladder, visible=True)
        screen["compare"] = gr.update(
            value=(canvas.packed(before), canvas.packed(after)),
            visible=True,
            slider_position=divide(outcome),
        )
    if gallery:
        screen["results"] = _gallery(session)
    return screen


def _gallery(session: Session) -> Any:
    """The variations to choose from, if there are any."""
    shown, outcome = session.shown, session.outcome
    items = [
        (thumb(v.held), caption(v, number, kept=v in session.kept))
        for number, v in enumerate(shown, 1)
    ]
    at = None if outcome is None else shown.index(outcome)
    return gr.update(value=items or None, selected_index=at, visible=bool(items))


def divide(outcome: Variation) -> float:
    """Where before and after meet, in percent of the width: left of all that was painted, so that
    the edit is seen whole; in the middle of a picture that was extended."""
    base = outcome.base
    if base is None or any(outcome.extension):
        return 50.0
    masks = [region.mask for region in base.regions]
    masks += [base.mask] if base.mask is not None else []
    columns = [np.flatnonzero((np.asarray(mask) >= 128).any(axis=0)) / mask.width for mask in masks]
    edges = [float(found[0]) for found in columns if found.size]
    return float(np.clip(100 * min(edges, default=0.5) - BESIDE, BESIDE, 50.0))


def caption(variation: Variation, number: int, *, kept: bool) -> str:
    """What stands on a variation's thumbnail: its number, and what there is room for beside it.
    Seeds that were drawn are long; the note below has them."""
    text = f"#{number}"
    if variation.seed < SHORT_SEED:
        text += f" · seed {variation.seed}"
    elif rank(variation).startswith("best"):
        text += " · best"
    return f"{'★ ' if kept else ''}{text}"


def note(variation: Variation, number: int) -> str:
    """The chosen variation in words: its seed, how it compares with the others of its run, and
    its time."""
    run, options = variation.run, variation.request.options
    parts = [f"#{number} · seed {variation.seed}"]
    if options.coarse_seeds:
        count = len(options.coarse_seeds)
        scales = "first scale" if count == 1 else f"first {count} scales"
        parts.append(f"{scales} of seed {options.coarse_seeds[-1]}")
    place = rank(variation)
    if place:
        parts.append(place)
    time = f"{run.seconds / run.count:.1f} s"
    parts.append(time if run.count == 1 else f"{time} of {run.seconds:.1f} s for {run.count}")
    below = title = ""
    if place:
        asked = variation.request.label is not None or bool(variation.request.regions)
        below = (
            "Ranked above all by how much it looks like its class."
            if asked
            else "Ranked by how likely the model finds it, and by how little its edge shows."
        )
        title = f"Score {variation.score:.2f}, higher is better"
    return markup.note(" · ".join(parts), below, title) + markup.told(run.notes)


def rank(variation: Variation) -> str:
    """Its place among the variations of its run by score; empty where there is none."""
    scores = variation.run.scores
    if variation.score is None or len(scores) < 2:
        return ""
    place = 1 + sum(score > variation.score for score in scores)
    if place == 1:
        return f"best match of {len(scores)}"
    ending = {1: "st", 2: "nd", 3: "rd"}.get(place % 10 if place % 100 not in (11, 12, 13) else 0)
    return f"{place}{ending or 'th'} best of {len(scores)}"


def _before(outcome: Variation, size: tuple[int, int]) -> Image.Image | None:
    """The picture before the edit, at the size of the one after it; None for nothing."""
    if outcome.base is None or outcome.request.task == "generate":
        return None
    image = outcome.base.image
    if not any(outcome.extension):
        return canvas.proxy(image, RESULT_SIDE)
    left, top, right, bottom = outcome.extension
    width, height = image.width + left + right, image.height + top + bottom
    factor = size[0] / width, size[1] / height
    box = (round(left * factor[0]), round(top * factor[1]))
    inner = (max(1, round(image.width * factor[0])), max(1, round(image.height * factor[1])))
    sheet = canvas.checkerboard(size)
    sheet.paste(canvas.proxy(image, RESULT_SIDE).resize(inner), box)
    return sheet


def thumb(held: Held) -> Image.Image:
    """The picture small; made once, so that a long history is not read from disk again."""
    if held not in _thumbs:
        _thumbs[held] = canvas.proxy(held.image, THUMB_SIDE)
    return _thumbs[held]


def of_step(
    step: Any, scales: tuple[int, ...], grown: list[str], clock_: Clock, live: Live
) -> Screen:
    """What a step shows; ``grown`` collects small pictures of the frame's scales."""
    done = list(scales).index(step.scale) + 1 if step.scale in scales else step.index + 1
    images = live.pictures(step)
    del grown[done - 1 :]
    while images and len(grown) < done:  # scales that were kept whole give no step
        grown.append(markup.data_url(images[0], LADDER_SIDE))
    text = f"Scale {done} of {len(scales)}"
    if step.frames > 1:
        text = f"Frame {step.frame + 1} of {step.frames}, " + text.lower()
    part = clock_.done(step.scale, step.frame, step.frames)
    left = clock_.left(part)
    detail = f"{100 * part:.0f} %" if left is None else f"about {clock.in_words(left)} left"
    fresh = {"value": markup.preview(images, scales, grown)} if images else {}
    return {
        "preview": gr.update(**fresh, visible=True),
        "status": markup.status(text, "busy", detail, part),
    }


def of_finished(session: Session) -> Screen:
    """The end of a run."""
    outcome = session.result
    run = outcome.run
    text = "Done: use it, or run again." if run.count == 1 else "Done: pick one, then use it."
    return {
        **of_session(session),
        **of_result(session),
        **idle(),
        "last-seed": gr.update(value=f"Keep seed {outcome.seed}", visible=True),
        "status": markup.status(text, "done", f"{run.seconds:.1f} s"),
    }


def tinted(shown: Image.Image, regions: Sequence[Marked]) -> Image.Image:
    """The picture as the canvas shows it, with each region in its colour and a lighter edge."""
    if not regions:
        return shown
    pixels = np.asarray(shown).astype(np.float32)
    for region in regions:
        colour = np.array(markup.REGION_COLOURS[region.colour], np.float32)
        inside = np.asarray(region.mask) >= 128
        rim = inside & (cv2.erode(inside.astype(np.uint8), np.ones((5, 5), np.uint8)) == 0)
        pixels[inside] += (colour - pixels[inside]) * TINT
        pixels[rim] = colour
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))
