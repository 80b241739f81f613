"""An edit with a clock beside it: what the networks take, and what lies between the events."""

from __future__ import annotations

from typing import Any

from engine import ScaleDone
from engine.benchmark.meter import Clock
from engine.editor import Editor
from engine.model.family import Model
from engine.request import EditRequest
from engine.runner.known import Known
from engine.runner.networks import Runner


class WatchedRunner(Runner):
    """A runner whose encoding (the hole's fill goes before it) and decoding are timed, in whichever
    mode they are done."""

    def __init__(self, model: Model, clock: Clock) -> None:
        super().__init__(model)
        self.clock = clock

    def known(self, *args: Any) -> Known:
        with self.clock.part("encode"):
            return super().known(*args)

    def decode(self, *args: Any) -> Any:
        with self.clock.part("decode"):
            return super().decode(*args)


def watched(editor: Editor, request: EditRequest, clock: Clock) -> None:
    """Carry out an edit. What a scale takes beside the networks counts as sampling (with keeping
    and the feature map), all else as compositing (with detail from the picture), so that the parts
    are the whole."""
    before, known = clock.now(), clock.total
    for event in editor.steps(request):
        now = clock.now()
        beside = now - before - (clock.total - known)
        clock.parts["sampling" if isinstance(event, ScaleDone) else "composite"] += beside
        before, known = now, clock.total
