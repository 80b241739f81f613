"""Screens: what the page shows for a session, a step and a result.

A screen is a dict from element names to updates; what is not in it stays as it is.
"""

from __future__ import annotations

from typing import Any

import gradio as gr
from PIL import Image

from app import canvas, markup
from app.session import Outcome, Session

Screen = dict[str, Any]

RESULT_SIDE = 1280  # pixels of the pictures in the before/after slider
THUMB_SIDE = 192
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


def idle() -> Screen:
    """The buttons when nothing runs."""
    return {"run": gr.update(interactive=True), "cancel": gr.update(interactive=False)}


def of_session(session: Session) -> Screen:
    """Everything that follows from the session, the results apart."""
    moment = session.current
    has_picture = moment is not None
    facts = ""
    if moment is not None:
        width, height = moment.image.size
        facts = markup.facts(width, height, session.version)
    thumbs = [(thumb(m.image), m.caption) for m in session.moments]
    return {
        "session": session,
        "version": session.version,
        "facts": facts,
        "undo": gr.update(interactive=session.can_undo),
        "redo": gr.update(interactive=session.can_redo),
        "download": gr.update(interactive=has_picture or session.outcome is not None),
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
            "results": gr.update(value=None, visible=False),
            "use-result": gr.update(interactive=False),
        }
    after = canvas.proxy(outcome.image, RESULT_SIDE)
    before = _before(session, outcome, after.size)
    screen: Screen = {"use-result": gr.update(interactive=True)}
    ladder = markup.grown(outcome.scales, outcome.grown)
    if before is None:
        screen["preview"] = gr.update(value=markup.alone(after, ladder), visible=True)
        screen["compare"] = gr.update(value=None, visible=False)
    else:
        screen["preview"] = gr.update(value=ladder, visible=True)
        screen["compare"] = gr.update(value=(before, after), visible=True)
    if gallery:
        items = [
            (thumb(image), f"{seed}")
            for image, seed in zip(outcome.result.images, outcome.result.seeds, strict=True)
        ]
        screen["results"] = gr.update(
            value=items, selected_index=outcome.chosen, visible=True
        )
    return screen


def _before(
    session: Session, outcome: Outcome, size: tuple[int, int]
) -> Image.Image | None:
    """The picture before the edit, at the size of the one after it; None for nothing."""
    if outcome.base < 0 or outcome.request.task == "generate":
        return None
    image = session.moments[outcome.base].image
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


def thumb(image: Image.Image) -> Image.Image:
    return canvas.proxy(image, THUMB_SIDE)


def of_step(step: Any, scales: tuple[int, ...], grown: list[str]) -> Screen:
    """What a step shows; ``grown`` collects small pictures of the frame's scales."""
    done = list(scales).index(step.scale) + 1 if step.scale in scales else step.index + 1
    images = step.previews()
    del grown[done - 1 :]
    while images and len(grown) < done:  # scales that were kept whole give no step
        grown.append(markup.data_url(images[0], LADDER_SIDE))
    text = f"Scale {done} of {len(scales)}"
    if step.frames > 1:
        text = f"Frame {step.frame + 1} of {step.frames}, " + text.lower()
    percent = f"{100 * (step.index + 1) / step.of:.0f} %"
    return {
        "preview": gr.update(value=markup.preview(images, scales, grown), visible=True),
        "status": markup.status(text, "busy", percent),
    }


def of_finished(session: Session) -> Screen:
    outcome = session.outcome
    assert outcome is not None
    seeds = outcome.result.seeds
    count = len(seeds)
    text = "Done: use it, or run again." if count == 1 else "Done: pick one, then use it."
    detail = f"{outcome.result.seconds:.1f} s"
    return {
        **of_session(session),
        **of_result(session),
        **idle(),
        "last-seed": gr.update(value=f"Keep seed {seeds[0]}", visible=True),
        "status": markup.status(text, "done", detail),
    }
