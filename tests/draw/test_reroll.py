"""Rolling again from a scale: the idea of one seed, the details of others, through every door."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine import EditOptions, RequestError
from engine.__main__ import main
from engine.weights.saving import save_model
from tests.machine.test_memory import MASK, edit, same
from tests.pictures import noisy_rgb
from tests.tiny import LABELS, SCALES, tiny_editor, tiny_var, tiny_vqvae


def test_with_all_scales_of_seed_7_any_seed_gives_its_picture() -> None:
    editor = tiny_editor()
    seven = edit(editor, 7)
    again = edit(editor, 123, (7,) * len(SCALES), n=2)
    assert all(np.array_equal(*map(np.asarray, (seven.images[0], each))) for each in again.images)
    assert not same(seven, edit(editor, 123))


def test_a_rerolled_picture_can_be_made_again_alone() -> None:
    several = edit(tiny_editor(), 20, (7,), n=3)
    alone = several.request_of(2).model_copy(update={"image": noisy_rgb(40, 40), "mask": MASK})
    result = tiny_editor().run(alone)
    first, second = (np.asarray(x, int) for x in (several.images[2], result.images[0]))
    assert abs(first - second).max() <= 1
    assert alone.options.coarse_seeds == (7,)


def test_seeds_come_as_text_too() -> None:
    assert EditOptions(coarse_seeds="7, 7,8").coarse_seeds == (7, 7, 8)  # type: ignore[arg-type]
    for wrong in ("7,x", "-1", "1.5"):
        with pytest.raises(RequestError, match="coarse_seeds"):
            EditOptions(coarse_seeds=wrong)  # type: ignore[arg-type]


def test_the_command_line_rolls_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_model(tmp_path / "tiny", tiny_vqvae(), tiny_var(), labels=LABELS, about="tests")
    common = ["generate", "--label", "boat", "--model", str(tmp_path / "tiny"), "--json"]
    pictures = []
    for name, words in {
        "seven.png": ["--seed", "7"],
        "again.png": ["--seed", "9", "--coarse-seeds", "7,7,7"],
        "other.png": ["--seed", "9", "--coarse-seeds", "7", "--speed", "fast"],
    }.items():
        assert main([*common, "-o", str(tmp_path / name), *words]) == 0
        told = json.loads(capsys.readouterr().out)
        pictures.append(Image.open(tmp_path / name).convert("RGB").tobytes())
    assert pictures[0] == pictures[1] != pictures[2]
    assert told["request"]["options"]["coarse_seeds"] == [7]
    assert told["request"]["options"]["speed"] == "fast" and told["notes"] == []
