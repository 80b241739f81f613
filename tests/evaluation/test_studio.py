"""The evaluation sees what a thing was drawn before, as the editor does."""

from __future__ import annotations

import numpy as np

from engine import EditOptions
from engine.evaluation.edits import Case
from engine.evaluation.flip import see
from engine.evaluation.measure import Measure, Reference, Survey
from engine.evaluation.metrics import psnr
from engine.paint.studio import GREY, middle_hole
from tests.paint.test_staging import MASK, MEMBERS
from tests.pictures import noisy_rgb
from tests.tiny import tiny_editor


def test_evaluation_shows_the_model_what_the_editor_does() -> None:
    editor = tiny_editor(MEMBERS, foresight=True)
    picture = np.asarray(noisy_rgb(64, 64))
    mask = np.ascontiguousarray(MASK[:, 8:72])
    case = Case(editor, picture, mask, "boat", "edit_class", None)
    edited = case.edit(EditOptions(seed=2))
    assert (edited.seen == GREY).all()
    result = editor.edit_class(noisy_rgb(64, 64), mask, "boat", EditOptions(seed=2))
    assert np.array_equal(edited.result, np.asarray(result.images[0]))
    assert np.array_equal(edited.hole, middle_hole(editor.side) == 1)


def test_evaluation_keeps_apart_what_was_drawn_in_a_studio_and_what_was_not() -> None:
    editor = tiny_editor(MEMBERS, foresight=True)
    picture, mask = np.asarray(noisy_rgb(64, 64)), np.ascontiguousarray(MASK[:, 8:72])

    def case() -> Case:
        return Case(editor, picture, mask, "hills", "edit_class", None)

    both = case()
    for options in (EditOptions(seed=2), EditOptions(seed=2, studio=True)):
        assert np.array_equal(both.edit(options).raw, case().edit(options).raw)


def test_what_evaluation_takes_for_known_is_what_the_model_was_shown() -> None:
    editor = tiny_editor(MEMBERS, foresight=True)
    picture = np.asarray(noisy_rgb(editor.side, editor.side))
    mask = np.zeros(picture.shape[:2], bool)
    mask[8:24, 8:24] = True
    case = Case(editor, picture, mask, "boat", "edit_class")
    survey = Survey(EditOptions(), {}, (), 0, thorough=False)
    measure = Measure(editor, None, survey, None, None)  # type: ignore[arg-type]
    found = measure._edit(case, Reference(see(picture), None), EditOptions(seed=1), 0)
    edited = case.edit(EditOptions(seed=1))
    assert found["known_psnr"] == psnr(edited.raw, edited.seen, ~edited.hole)
    assert found["known_psnr"] != psnr(edited.raw, edited.seen, ~mask)
