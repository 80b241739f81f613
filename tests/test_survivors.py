"""Of many candidates the best few are finished: they are the very pictures they would have been."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engine import EditOptions, EditRequest
from engine.editor import Editor
from engine.events import ScaleDone, result_of
from engine.model.spec import SCALES_256, SCALES_512, SCALES_DOUBLING
from engine.plan.labels import Labels
from engine.plan.plan import plan
from engine.plan.rules import begun
from tests.pictures import noisy_rgb
from tests.tiny import LABELS, editor_of, tiny_var, tiny_vqvae

PHOTO, MASK = noisy_rgb(64, 64), np.zeros((64, 64), bool)
MASK[10:54, 12:50] = True
SCALES = (1, 2, 4, 8)  # after 4 x 4 a quarter of the tokens is drawn


@pytest.fixture(scope="module")
def editor() -> Editor:
    return editor_of(tiny_vqvae(scales=SCALES), tiny_var(scales=SCALES), Labels(LABELS, None))


def asked(task: str, **options: Any) -> EditRequest:
    label = {"generate": "boat", "edit_class": "boat"}.get(task)
    if task == "generate":
        return EditRequest(task=task, label=label, options=EditOptions(**{"seed": 3, **options}))
    chosen = EditOptions(**{"seed": 3, "detail": "model", **options})
    return EditRequest(task=task, label=label, image=PHOTO, mask=MASK, options=chosen)


@pytest.mark.parametrize("task", ["inpaint", "generate"])
def test_the_best_are_those_of_their_seeds_alone_and_the_best_of_all_by_then(
    editor: Editor, task: str
) -> None:
    events = list(editor.steps(asked(task, candidates=8, variations=2)))
    result = result_of(events)
    assert len(result.images) == 2 and result.scores[0] >= result.scores[1]
    for image, seed in zip(result.images, result.seeds, strict=True):
        alone = editor.run(asked(task, seed=seed)).images[0]
        assert np.array_equal(np.asarray(image), np.asarray(alone))
    coarse = [e for e in events if isinstance(e, ScaleDone)][begun(SCALES)].sketch.scale
    worth = coarse.evidence if task == "generate" else coarse.log_likelihood
    assert len(worth) == 8
    best = {3 + int(index) for index in worth.argsort(descending=True)[:2]}
    assert set(result.seeds) == best


def test_every_scale_is_told_once_and_later_ones_show_those_that_are_left(editor: Editor) -> None:
    events = list(editor.steps(asked("generate", candidates=8)))
    done = [event for event in events if isinstance(event, ScaleDone)]
    assert [event.index for event in done] == list(range(len(SCALES)))
    assert [len(e.sketch.scale.log_likelihood) for e in done] == [8, 8, 8, 2]
    assert all(len(event.previews()) == 1 for event in done)


def test_what_costs_little_or_says_nothing_is_not_given_up(editor: Editor) -> None:
    def survivors(request: EditRequest) -> int | None:
        return plan(request, editor.card).drawn[0].survivors

    assert survivors(asked("inpaint", candidates=16)) == 3
    assert survivors(asked("generate", candidates=16)) == 2
    assert survivors(asked("inpaint", candidates=16, variations=6)) == 6
    assert survivors(asked("inpaint", candidates=16, variations=9)) is None
    assert survivors(asked("inpaint", candidates=7)) is None
    assert survivors(asked("inpaint", variations=16)) is None
    assert survivors(asked("inpaint", candidates=16, rule="paper")) is None
    assert survivors(asked("edit_class", candidates=16)) is None, "it does not tell there"
    wide = EditRequest(
        task="outpaint", image=PHOTO, right=200, options=EditOptions(candidates=16)
    )
    assert len(plan(wide, editor.card).drawn[0].windows) > 1 and survivors(wide) is None


def test_where_nothing_is_drawn_by_then_all_are_finished(editor: Editor) -> None:
    result = editor.run(asked("inpaint", candidates=8, structure=3, soft_scales=0))
    kept = editor.run(asked("inpaint", variations=8, structure=3, soft_scales=0))
    assert result.seeds[0] in kept.seeds
    everything = list(editor.steps(asked("inpaint", candidates=8, structure=3, soft_scales=0)))
    last = [event for event in everything if isinstance(event, ScaleDone)][-1]
    assert len(last.sketch.scale.log_likelihood) == 8


@pytest.mark.parametrize(
    ("scales", "side"), [(SCALES_DOUBLING, 8), (SCALES_256, 8), (SCALES_512, 13), ((1, 2, 4), 2)]
)
def test_a_quarter_of_the_tokens_is_drawn_before_any_is_given_up(
    scales: tuple[int, ...], side: int
) -> None:
    assert scales[begun(scales)] == side
