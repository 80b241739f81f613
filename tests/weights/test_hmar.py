"""HMAR's checkpoints: each published one by names, shapes and counts; strict, unchanged loading."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from engine.errors import CheckpointError
from engine.loading import load_editor
from engine.model.hmar.spec import HMARSpec
from engine.model.hmar.transformer import HMAR
from engine.model.spec import VARSpec, VQVAESpec
from engine.weights.architecture import family_of, kind_of
from engine.weights.checkpoint import inspect, load_pair
from engine.weights.hmar import FAMILY
from engine.weights.var import ATTENTION_BIAS
from tests.official import official_state, random_official

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = json.loads((ROOT / "tests/data/parity/hmar_checkpoints.json").read_text())
LAYOUT = FAMILY.transformer
SMALL = HMARSpec(depth=3, width=192, refined=1, codebook_size=32, latent_channels=32, num_classes=5)
CODEC = VQVAESpec(width=32, codebook_size=32)


def published_state(seed: int = 0) -> dict[str, torch.Tensor]:
    """As the authors' code saves it: float32, the mask of training beside the weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        state = dict(HMAR(SMALL).state_dict())
    level = state["lvl_1L"][0]
    hidden = level[:, None] != level
    state[ATTENTION_BIAS] = torch.zeros(hidden.shape).masked_fill(hidden, -torch.inf)[None, None]
    return state


def refused(tmp_path: Path, state: dict[str, torch.Tensor]) -> str:
    path = tmp_path / "hmar-d3.pth"
    torch.save(state, path)
    with pytest.raises(CheckpointError) as found:
        load_pair(random_official(CODEC, tmp_path), path)
    line = str(found.value)
    assert line.startswith(f"{path}: ") and "\n" not in line
    return line


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_spec_gives_exactly_the_names_shapes_and_parameters(name: str) -> None:
    expected = PUBLISHED[name]
    shapes = {key: tuple(shape) for key, (shape, _) in expected["state"].items()}
    spec = LAYOUT.infer(shapes, None)
    assert spec == HMARSpec.official(expected["depth"])
    assert spec.refined == expected["refined_blocks"]
    assert LAYOUT.state_shapes(spec) == shapes
    network = LAYOUT.skeleton(spec)
    assert sum(each.numel() for each in network.parameters()) == expected["parameters"]
    assert kind_of(shapes) == "HMAR" and family_of(shapes).name == "hmar"


def test_every_weight_arrives_unchanged_and_the_mask_of_training_is_not_needed(
    tmp_path: Path,
) -> None:
    state, path = published_state(), tmp_path / "hmar-d3.pth"
    torch.save(state, path)
    loaded = load_pair(random_official(CODEC, tmp_path), path)
    network = loaded.model.networks[-1]
    assert loaded.family.name == "hmar" and isinstance(network, HMAR)
    found = network.state_dict()
    assert set(state) - set(found) == {ATTENTION_BIAS}
    assert all(torch.equal(found[name], state[name]) for name in found)
    bare = {k: v for k, v in state.items() if "bias_for" not in k and k != "lvl_1L"}
    save_file({k: v.half() for k, v in bare.items()}, tmp_path / "hmar-d3.safetensors")
    assert inspect(tmp_path / "hmar-d3.safetensors").spec == SMALL


def test_a_wrong_file_is_told_in_one_line(tmp_path: Path) -> None:
    state = published_state()
    less = {name: value for name, value in state.items() if name != "mask_embed.weight"}
    assert "found none for 'mask_embed.weight'" in refused(tmp_path, less)
    more = {**state, "head.weight": torch.zeros(3)}
    assert "found 'head.weight' as well" in refused(tmp_path, more)
    wrong = {**state, "mask_head.bias": torch.zeros(3)}
    assert "expected 'mask_head.bias' as 32, found 3" in refused(tmp_path, wrong)
    level = state["lvl_1L"][0]
    random = torch.zeros(len(level), len(level))
    assert "expected a mask by scale" in refused(
        tmp_path, {**state, ATTENTION_BIAS: random[None, None]}
    )


def test_a_model_of_these_files_edits(tmp_path: Path) -> None:
    torch.save(published_state(), tmp_path / "hmar-d3.pth")
    random_official(CODEC, tmp_path)
    editor = load_editor(str(tmp_path / "hmar-d3.pth"), device="cpu", precision="float32")
    assert editor.card.family == "hmar" and editor.side == 256
    assert editor.generate(2).images[0].size == (256, 256)


def test_a_transformer_of_vars_is_not_taken_for_one_of_these() -> None:
    spec = VARSpec(depth=1, width=64, codebook_size=32, num_classes=5)
    shapes = {name: tuple(each.shape) for name, each in official_state(spec).items()}
    assert family_of(shapes).name == "var" and not LAYOUT.tells(shapes)
