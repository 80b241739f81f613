"""A plan carried out: what the canvas shows goes through the networks frame by frame, and what they
draw goes back onto the canvas."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

from engine.events import Detailing, Event, Finished, Painted, Result, ScaleDone
from engine.paint.canvas import Canvas, told
from engine.plan.plan import Plan
from engine.runner.networks import Runner
from engine.runner.sketch import RunSketch


def carry_out(decided: Plan, runner: Runner) -> Iterator[Event]:
    """Carry out a plan scale by scale. Closing the iterator cancels before the next scale.

    The picture is opened here, before the first event is asked for: ImageError if it cannot be.
    """
    return _fold(decided, Canvas.bare(decided), runner)


def study(decided: Plan, runner: Runner) -> None:
    """Do ahead what the plan's fast passes need to know of the picture."""
    canvas = Canvas.bare(replace(decided, box=(0, 0, *decided.size)))
    for one in decided.passes:
        for window in one.windows:
            frames = canvas.afresh(one).seen(one, window)
            if not frames[0].studio:
                runner.at(one.scales).study(one, frames[0])


def _fold(decided: Plan, canvas: Canvas, runner: Runner) -> Iterator[Event]:
    """Each pass in its turn shows the model what it sees through its windows, lets it draw, and
    puts the result back onto the canvas.

    What a thing is put before is remembered, since it is the same for every seed.
    """
    began, notes = time.perf_counter(), list(decided.notes)
    frame, frames = 0, sum(len(one.windows) for one in decided.passes)
    networks = runner.at(decided.passes[0].scales)
    for one in decided.passes:
        canvas, said = canvas.turned_to(one), len(notes)
        if one.role == "behind":
            behind = canvas.as_it_was(one)
            if behind is None:
                key = ("backdrop", canvas.name, one.windows, one.keeping, one.sampling, one.fast,
                       one.scales)  # fmt: skip
                behind = runner.memory.get(key)
            if behind is not None:  # it need not be drawn
                canvas, frames = canvas.turned_back(behind), frames - len(one.windows)
                continue
        for number, window in enumerate(one.windows, one.first):
            seen, scales = canvas.seen(one, window), len(one.scales)
            run = networks.run(one, [] if one.role == "new" else seen, number)
            for scale in run.steps():
                # The last one is decoded before it is told, so that it can be looked at.
                drawn = run.drawn(scale) if scale.index + 1 == scales else None
                sketch = RunSketch(networks, run.one, canvas, seen, scale, drawn)
                index, of = frame * scales + scale.index, frames * scales
                yield ScaleDone(index, of, scale.side, frame, frames, sketch)
            assert drawn is not None
            one = run.one  # some of its variations may have been let go of
            canvas = canvas.painted(one, seen, drawn, run.chosen)
            notes += canvas.notes
            yield Painted(frame, frames, one.role, tuple(seen), drawn.pictures, canvas.tally.scores)
            frame += 1
        canvas = yield from told(canvas.detailed(one), Detailing)
        if one.role == "behind":
            (behind,) = canvas.pictures
            if len(notes) == said:  # else memory was short: made anew, in the hope of more
                runner.memory.put(key, behind, behind.nbytes)
            canvas = canvas.turned_back(behind)
    chosen = canvas.chosen(decided)
    yield Finished(
        Result(
            images=canvas.finished(chosen),
            seeds=tuple(canvas.tally.seeds[index] for index in chosen),
            seconds=time.perf_counter() - began,
            request=decided.request,
            scores=tuple(canvas.tally.scores[index] for index in chosen),
            notes=tuple(dict.fromkeys(notes)),
        )
    )
