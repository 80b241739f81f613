"""Two models in turn: their names, the authors' files, what makes a pair and what does not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from engine import EditOptions, load_editor
from engine.errors import CheckpointError, ModelNotFoundError
from engine.model.relay import Relayed
from engine.model.spec import VARSpec, VQVAESpec
from engine.weights.cards import read_card
from engine.weights.places import PairFiles
from engine.weights.published import BY_NAME
from engine.weights.registry import models, resolve
from engine.weights.var import VAR_LAYOUT
from tests.official import official_state, random_official

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = json.loads((ROOT / "tests/data/parity/code_checkpoints.json").read_text())
CODEC = VQVAESpec(width=32, codebook_size=32)
LARGE = VARSpec(depth=2, width=128, codebook_size=32, num_classes=5)
SMALL = VARSpec(depth=1, width=64, codebook_size=32, num_classes=5)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files of the authors' pair for eight scales, small ones."""
    random_official(CODEC, tmp_path)
    torch.save(official_state(LARGE), tmp_path / "drafter_8.pth")
    torch.save(official_state(SMALL, seed=1), tmp_path / "refiner_8.pth")
    return tmp_path


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_half_has_the_names_shapes_and_parameters_of_one_of_vars(name: str) -> None:
    expected = PUBLISHED[name]
    spec = VARSpec.official(expected["depth"])
    shapes = {key: tuple(shape) for key, (shape, _) in expected["state"].items()}
    assert VAR_LAYOUT.state_shapes(spec) == shapes and VAR_LAYOUT.infer(shapes, None) == spec
    row = BY_NAME[f"code-{expected['draft_steps']}"]
    assert name in row.stems and row.home == expected["repo"]
    own = row if expected["role"] == "drafter" else row.second
    assert (own.depth, own.parameters) == (expected["depth"], expected["parameters"])


@pytest.mark.parametrize("how", ["folder", "drafter_8.pth", "refiner_8.pth", "by name"])
def test_the_authors_pair_is_known_by_its_files(folder: Path, how: str) -> None:
    named = {"folder": str(folder), "by name": "code-8"}.get(how, str(folder / how))
    found = resolve(named, folder)
    assert isinstance(found, PairFiles) and found.switch == 8
    assert [part.var.name for part in found.parts] == ["drafter_8.pth", "refiner_8.pth"]


@pytest.mark.parametrize("half", ["drafter_8", "refiner_8"])
def test_one_half_alone_is_refused_in_one_line(folder: Path, half: str) -> None:
    other = {"drafter_8": "refiner_8", "refiner_8": "drafter_8"}[half]
    (folder / f"{other}.pth").unlink()
    with pytest.raises(ModelNotFoundError, match=f"needs {other}.pth beside it; run: ") as found:
        load_editor(str(folder / f"{half}.pth"))
    assert "\n" not in str(found.value)
    with pytest.raises(ModelNotFoundError, match=f"{other}.pth missing"):
        resolve("code-8", folder)


def test_any_two_models_of_one_codebook_make_a_pair(folder: Path) -> None:
    for stem, spec in (("var_d2", LARGE), ("var_d1", SMALL)):
        torch.save(official_state(spec), folder / f"{stem}.pth")
    name = f"{folder / 'var_d2.pth'}+{folder / 'var_d1.pth'}@6"
    editor = load_editor(name, device="cpu")
    assert isinstance(editor.model, Relayed) and editor.model.switch == 6
    assert editor.name == "var_d2.pth+var_d1.pth@6"
    assert "Scales 1 to 6" in editor.card.about
    assert editor.card == read_card(resolve(name))
    made = editor.generate(1, EditOptions(seed=3, variations=2))
    assert len(made.images) == 2 and made.images[0].size == (256, 256)
    vqvae, first, second = editor.model.networks
    assert first.spec == LARGE and second.spec == SMALL
    assert editor.model.first.codec is editor.model.second.codec is vqvae


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a+b", "expected a pair such as var-d30"),
        ("a+b@", "expected a pair such as var-d30"),
        ("a+b+c@3", "expected a pair such as var-d30"),
        ("bundled+bundled@0", "first model draws 1 to 4 scales, found 0"),
        ("bundled+bundled@5", "first model draws 1 to 4 scales, found 5"),
        ("bundled+nothing@3", "unknown model 'nothing'"),
        ("bundled+code-8@3", "code-8"),
    ],
)
def test_what_is_no_pair_is_told_in_one_line(name: str, message: str) -> None:
    with pytest.raises((ModelNotFoundError, CheckpointError), match=message) as found:
        load_editor(name, device="cpu")
    assert "\n" not in str(found.value)


def test_models_of_other_codes_make_no_pair(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    random_official(CODEC, other, seed=5)
    torch.save(official_state(SMALL), other / "var_d1.pth")
    torch.save(official_state(LARGE), folder / "var_d2.pth")
    with pytest.raises(CheckpointError, match="these two make no pair"):
        load_editor(f"{folder / 'var_d2.pth'}+{other / 'var_d1.pth'}@6", device="cpu")
    fewer = replace(SMALL, num_classes=4)
    torch.save(official_state(fewer), folder / "var_d1.pth")
    with pytest.raises(CheckpointError, match="these two make no pair"):
        load_editor(f"{folder / 'var_d2.pth'}+{folder / 'var_d1.pth'}@6", device="cpu")


def test_a_model_with_itself_draws_what_it_draws_alone() -> None:
    alone = load_editor("bundled", device="cpu", precision="float32")
    pair = load_editor("bundled+bundled@3", device="cpu", precision="float32")
    assert pair.card.foresight == alone.card.foresight
    assert pair.card.labels.choices() == alone.card.labels.choices()
    options = EditOptions(seed=2, variations=2)
    for one, two in zip(
        alone.generate("bird", options).images, pair.generate("bird", options).images, strict=True
    ):
        assert np.abs(np.asarray(one, float) - np.asarray(two)).mean() < 0.5


def test_what_may_be_done_with_a_model_is_told_where_it_is_chosen() -> None:
    known = {info.name: info for info in models()}
    for depth in (16, 20, 24, 30):
        limited = known[f"hmar-d{depth}"]
        assert "non-commercial" in limited.title and "non-commercial" in limited.licence
        assert "not for commercial use" in limited.about
        assert not BY_NAME[limited.name].auto, "nobody gets it without asking"
    assert sum("non-commercial" in info.title for info in known.values()) == 4
    assert known["code-8"].bytes == 4 * (2_010_020_356 + 310_283_520 + 108_948_355)
