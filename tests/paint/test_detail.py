"""The picture's own detail, through the editor: cancelled, repeated, and kept inside the mask."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine import EditOptions, EditRequest
from engine.editor import Editor
from engine.events import Detailing
from engine.paint.exemplar import filling
from tests.pictures import noisy_rgb
from tests.tiny import tiny_editor


@pytest.fixture(scope="module")
def editor() -> Editor:
    return tiny_editor()


SOURCE = noisy_rgb(160, 120)
HOLE = np.zeros((120, 160), bool)
HOLE[30:90, 40:110] = True


def asked() -> EditRequest:
    """An edit whose hole is large enough to be made anew."""
    return EditRequest(task="inpaint", image=SOURCE, mask=HOLE, options=EditOptions(seed=3))


def test_closing_the_steps_while_the_detail_is_made_stops_within_one_round(
    editor: Editor, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds: list[int] = []
    plain = filling._round

    def counted(*given: object) -> None:
        rounds.append(1)
        plain(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(filling, "_round", counted)
    request = asked()
    kinds = [type(event) for event in editor.steps(request)]
    whole = len(rounds)
    assert kinds.count(Detailing) > 10
    rounds.clear()
    steps = editor.steps(request)
    seen = 0
    for event in steps:
        seen += isinstance(event, Detailing)
        if seen == 3:
            break
    before = len(rounds)
    steps.close()  # type: ignore[attr-defined]
    assert before <= 3
    assert len(rounds) == before < whole


def test_detail_is_the_same_with_any_number_of_threads_and_leaves_the_rest_alone(
    editor: Editor,
) -> None:
    request = asked()
    count = torch.get_num_threads()
    shown = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            shown.append(editor.run(request).images[0])
    finally:
        torch.set_num_threads(count)
    assert shown[0].tobytes() == shown[1].tobytes()
    assert (np.asarray(shown[0])[~HOLE] == np.asarray(SOURCE)[~HOLE]).all()
    assert (np.asarray(shown[0])[HOLE] != np.asarray(SOURCE)[HOLE]).any()
