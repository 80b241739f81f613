"""A second family edits through the unchanged editor, window and command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import engine.loading
from engine import EditOptions, EditRequest
from engine.__main__ import main
from engine.draw.keeping import Keeper, tokens
from engine.draw.loop import generate
from engine.editor import Editor
from engine.events import ScaleDone, result_of
from engine.plan.card import Card
from engine.plan.labels import Labels
from engine.plan.rules import Sampling
from tests.pictures import noisy_rgb
from tests.toy_family import CLASSES, SCALES, Blocks, Likes, Toy

MASK = np.zeros((50, 70), bool)
MASK[10:40, 20:50] = True
PHOTO = noisy_rgb(70, 50)
OPTIONS: tuple[dict[str, Any], ...] = (
    {}, {"speed": "fast", "detail": "model"}, {"rule": "paper"},
    {"variations": 3, "detail": "model"},
)  # fmt: skip


def toy_editor(*_: Any, **__: Any) -> Editor:
    labels = Labels.of_model(CLASSES, len(CLASSES), {}, {})
    return Editor(Toy(), Card(name="toy", side=32, scales=SCALES, labels=labels, family="toy"))


def of_each_task(thing: str, scene: str, right: int, **more: Any) -> list[EditRequest]:
    """An edit a task, of `PHOTO`: to draw a class into it, another alone, and so many pixels."""
    options = EditOptions(seed=5, **more)
    return [
        EditRequest(task="inpaint", image=PHOTO, mask=MASK, options=options),
        EditRequest(task="edit_class", image=PHOTO, mask=MASK, label=thing, options=options),
        EditRequest(task="outpaint", image=PHOTO, right=right, options=options),
        EditRequest(task="generate", label=scene, options=options),
    ]


def requests(**more: Any) -> list[EditRequest]:
    return of_each_task("light", "dark", 60, **more)


def kept_and_repeated(asked: EditRequest, begun: Callable[[], Editor]) -> list[Any]:
    """The pictures of an edit of `PHOTO`, once they have left what is known as it was, and another
    editor has made the same."""
    editor = begun()
    editor.warm(asked)
    events = list(editor.steps(asked))
    assert all(e.previews() for e in events if isinstance(e, ScaleDone))
    made = [np.asarray(each) for each in result_of(events).images]
    again = [np.asarray(each) for each in begun().run(asked).images]
    assert len(made) == asked.options.variations
    assert all(map(np.array_equal, made, again))
    for picture in made:
        if asked.task == "outpaint":
            assert np.array_equal(picture[:, :70], np.asarray(PHOTO))
        elif asked.image is not None:
            assert np.array_equal(picture[~MASK], np.asarray(PHOTO)[~MASK])
            assert not np.array_equal(picture[MASK], np.asarray(PHOTO)[MASK])
    return made


@pytest.mark.parametrize("more", OPTIONS, ids=str)
@pytest.mark.parametrize("task", range(4))
def test_every_task_keeps_what_is_known_and_can_be_repeated(
    task: int, more: dict[str, Any]
) -> None:
    asked = requests(**more)[task]
    assert len(kept_and_repeated(asked, toy_editor)) == more.get("variations", 1)


def test_variations_are_those_of_their_seeds_alone() -> None:
    several = toy_editor().run(requests(variations=3)[1]).images
    alone = toy_editor().run(requests()[1].model_copy(update={"options": EditOptions(seed=7)}))
    assert np.array_equal(np.asarray(several[2]), np.asarray(alone.images[0]))


def test_a_label_tells_what_is_drawn() -> None:
    light, dark = (
        np.asarray(toy_editor().generate(label, EditOptions(seed=1)).images[0]).mean()
        for label in ("light", "dark")
    )
    assert light > dark + 40


def test_the_second_round_draws_again_what_was_in_doubt_and_nothing_else() -> None:
    asked: list[torch.Tensor] = []

    class Watched(Likes):
        def logits(self, k: int, inputs: Any, rows: Any, branches: int = 1) -> torch.Tensor:
            if k == 1:
                asked.append(inputs)
            return super().logits(k, inputs, rows, branches)

    class Once(Blocks):
        def rounds(self, k: int, drawn: int) -> int:
            return 1

    every = [torch.ones(side * side, dtype=torch.bool) for side in SCALES]
    ids = []
    for scheme in (Once(), Blocks()):
        steps = generate(
            Watched(Toy().condition((2,)), 1), Keeper(scheme), regenerate=every, seeds=(3,),
            sampling=Sampling(),
        )  # fmt: skip
        ids.append([step.ids for step in steps][1][0])
    once, first, second = asked
    assert torch.equal(once, first) and second.shape[-1] == 4
    hidden = second[0, :, 3] > 0
    assert hidden.sum() == 2
    assert torch.equal(ids[0][~hidden], ids[1][~hidden])
    assert torch.equal(second[0, ~hidden, :3], Blocks.codebook[ids[0]][~hidden])
    assert not torch.equal(ids[0][hidden], ids[1][hidden]), "with noise of its own"


def test_a_scale_replaces_the_map_so_that_only_the_last_one_counts() -> None:
    features = torch.rand(1, 3, 4, 4) * 2 - 1
    maps, state = tokens(Blocks(), features)
    assert torch.equal(state.flatten(2).transpose(1, 2), Blocks.codebook[maps[-1]])


def test_the_command_line_edits_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the loading of its files is left out: it has none."""
    monkeypatch.setattr(engine.loading, "load_editor", toy_editor)
    PHOTO.save(tmp_path / "photo.png")
    Image.fromarray(MASK).save(tmp_path / "mask.png")
    photo, mask, out = (str(tmp_path / name) for name in ("photo.png", "mask.png", "out.png"))
    lines = (
        ["inpaint", photo, "--mask", mask],
        ["edit-class", photo, "--mask", mask, "--label", "light"],
        ["outpaint", photo, "--right", "60"],
        ["generate", "--label", "dark"],
    )
    for line, asked in zip(lines, requests(), strict=True):
        assert main([*line, "--seed", "5", "--model", "toy", "-o", out]) == 0
        assert np.array_equal(
            np.asarray(Image.open(out)), np.asarray(toy_editor().run(asked).images[0])
        ), line
