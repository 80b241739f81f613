"""Screens: what the page shows for a session, a step and a result.

A screen is a dict from element names to updates; what is not in it stays as it is.
"""

from __future__ import annotations

from typing import Any

import gradio as gr
from PIL import Image

from app import canvas, clock, markup, views
from app.clock import Clock
from app.moments import Variation
from app.painter import Ladder
from app.session import Session
from app.views import Box
from engine.serving.live import Live

Screen = dict[str, Any]

SHORT_SEED = 1000  # below it a seed fits on a thumbnail
SAYS = {
    "inpaint": "Removes or redraws what you paint over.",
    "outpaint": "Makes the picture larger: draws what lies beyond its edges.",
    "edit_class": "Turns what you paint over into a thing that you choose.",
    "generate": "Draws a new picture of a thing that you choose.",
}
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
    return {
        "run": gr.update(interactive=True),
        "more": gr.update(interactive=True),
        "cancel": gr.update(interactive=False),
    }


def running(ticket: str) -> Screen:
    """The buttons while something does; ``ticket`` names it for Cancel."""
    return {
        "ticket": ticket,
        "run": gr.update(interactive=False),
        "more": gr.update(interactive=False),
        "cancel": gr.update(interactive=True),
    }


def of_session(session: Session) -> Screen:
    """Everything that follows from the session, the results apart."""
    moment = session.current
    has_picture = moment is not None
    facts = regions = ""
    shown = None
    if moment is not None:
        shown = canvas.proxy_size(moment.size)
        facts = markup.facts(
            moment.size, shown, session.version, picture=views.picture_url(moment.held),
            mask=views.mask_url(moment), regions=views.regions_url(moment),
            undo=session.can_undo, redo=session.can_redo,
        )  # fmt: skip
        regions = markup.regions([(region.label, region.colour) for region in moment.regions])
    thumbs = [(views.thumb(m.held), m.caption) for m in session.moments]
    return {
        "session": session,
        "shown": shown,
        "facts": facts,
        "seen": seen(session),
        "regions": regions,
        "use-result": _use(session),
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
            "compare": gr.update(value="", visible=False),
            "results": _gallery(session),
            "seen": "",
            "result-row": gr.update(visible=False),
            "result-note": "",
            "use-result": _use(session),
        }
    kept = outcome in session.kept
    screen: Screen = {
        "use-result": _use(session),
        "result-row": gr.update(visible=True),
        "keep": gr.update(value="Kept" if kept else "Keep for later"),
        "seen": seen(session),
        "result-note": note(outcome, session.shown.index(outcome) + 1),
    }  # fmt: skip
    after, before = views.result_url(outcome), views.before_url(outcome)
    screen["preview"] = gr.update(
        value=markup.grown(outcome.run.scales, outcome.run.grown), visible=True
    )
    screen["compare"] = gr.update(
        value=markup.compare(before, after, views.divide(outcome)), visible=True
    )
    if gallery:
        screen["results"] = _gallery(session)
    return screen


def _use(session: Session) -> Any:
    """The button that takes the chosen variation; at rest where the canvas has that already."""
    outcome, current = session.outcome, session.current
    used = outcome is not None and current is not None and current.held is outcome.held
    return gr.update(
        value="In use" if used else "Use this",
        interactive=outcome is not None and not used,
        variant="secondary" if used else "primary",
    )


def seen(session: Session) -> str:
    """The chosen variation for the page to lay over the canvas, where it is of the picture there;
    empty where it is not."""
    outcome, current = session.outcome, session.current
    if outcome is None or (current is not None and current.held is outcome.held):
        return ""
    base, extension = outcome.base, outcome.extension
    alone = base is None or outcome.request.task == "generate"
    if not alone:
        if current is None or base is None:
            return ""
        sibling = current.made_from is base.held and current.size == outcome.held.size
        if current.held is not base.held and not sibling:
            return ""
        extension = (0, 0, 0, 0) if sibling else extension
    return markup.seen(
        views.result_url(outcome), number=session.shown.index(outcome) + 1,
        count=len(session.shown), extension=extension, alone=alone,
        looking=session.looking, version=session.version, task=outcome.request.task,
    )  # fmt: skip


def _gallery(session: Session) -> Any:
    """The variations to choose from, if there are any."""
    shown, outcome = session.shown, session.outcome
    items = [
        (views.edit_thumb(v), caption(v, number, kept=v in session.kept))
        for number, v in enumerate(shown, 1)
    ]
    at = None if outcome is None else shown.index(outcome)
    return gr.update(value=items or None, selected_index=at, visible=bool(items))


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


def of_step(
    step: Any, scales: tuple[int, ...], ladder: Ladder, clock_: Clock, live: Live,
    box: Box = views.WHOLE,
) -> Screen:  # fmt: skip
    """What a step shows; the ``ladder`` gets a small picture of it, cut to ``box``."""
    done = _place(step, scales)
    images = live.pictures(step)
    add_rung(step, scales, ladder, images[0] if live.fresh else None, box)
    text = f"Scale {done} of {len(scales)}"
    if step.frames > 1:
        text = f"Frame {step.frame + 1} of {step.frames}, " + text.lower()
    part = clock_.done(step.scale, step.frame, step.frames)
    left = clock_.left(part)
    detail = f"{100 * part:.0f} %" if left is None else f"about {clock.in_words(left)} left"
    drawn = images and (live.due() or done == len(scales))
    fresh = {"value": markup.preview(images, scales, ladder.rungs)} if drawn else {}
    return {
        "preview": gr.update(**fresh, visible=True),
        "status": markup.status(text, "busy", detail, part),
    }


def add_rung(
    step: Any, scales: tuple[int, ...], ladder: Ladder, image: Image.Image | None, box: Box
) -> None:
    """A step's picture, if there is one, on the ladder of its frame."""
    if image is not None:
        ladder.add(step.frame, _place(step, scales), views.rung(image, box))


def _place(step: Any, scales: tuple[int, ...]) -> int:
    """How many of the scales are done after a step."""
    return list(scales).index(step.scale) + 1 if step.scale in scales else step.index + 1


def of_finished(session: Session) -> Screen:
    """The end of a run."""
    outcome = session.result
    run = outcome.run
    text = "Done: use it, or run again." if run.count == 1 else "Done: pick one, then use it."
    return {
        **of_session(session),
        **of_result(session),
        **idle(),
        "last-seed": gr.update(value=f"Draw the same again: seed {outcome.seed}", visible=True),
        "leave-settings": gr.update(visible=False),
        "status": markup.status(text, "done", f"{run.seconds:.1f} s"),
    }
