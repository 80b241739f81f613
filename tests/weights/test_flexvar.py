"""FlexVAR's files: the published names, every way they may lie in a file, and what is refused."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from engine.errors import CheckpointError
from engine.loading import load_editor
from engine.model.flexvar.autoencoder import FlexVAE
from engine.model.flexvar.pair import FlexVARPair
from engine.model.flexvar.spec import FlexVAESpec, FlexVARSpec
from engine.model.flexvar.transformer import FlexVAR
from engine.model.spec import SCALES_DOUBLING, VARSpec, VQVAESpec
from engine.weights.architecture import kind_of
from engine.weights.cards import read_card
from engine.weights.checkpoint import inspect, load_pair
from engine.weights.families import FLEXVAR
from engine.weights.registry import resolve, verify
from tests.house import ROOT
from tests.official import official_state

PUBLISHED = json.loads((ROOT / "tests/data/parity/flexvar_checkpoints.json").read_text())
TRANSFORMER, TOKENIZER = FLEXVAR.layout.transformer, FLEXVAR.layout.tokenizer
SMALL = {"codebook_size": 64, "latent_channels": 8}
VAE = FlexVAESpec(width=32, encoded_channels=32, multipliers=(1, 2), blocks_per_level=1, **SMALL)
VAR = FlexVARSpec(depth=2, width=128, num_classes=1000, **SMALL)
VAE_PTH, VAR_PTH = "FlexVAE.pth", "FlexVARd16-epo179.pth"


def state_of(network: FlexVAE | FlexVAR, *, padded: bool = False) -> dict[str, Tensor]:
    """As the authors' code saves it, with its buffers."""
    state = dict(network.state_dict())
    if isinstance(network, FlexVAE):
        return {**state, "quantize.codebook_used": torch.zeros(65536)}
    size = 688 if padded else 680
    return {**state, "attn_bias_for_masking": torch.zeros(1, 1, size, size)}


@pytest.fixture(scope="module")
def networks() -> tuple[FlexVAE, FlexVAR]:
    torch.manual_seed(0)
    return FlexVAE(VAE), FlexVAR(VAR)


def put(folder: Path, networks: tuple[FlexVAE, FlexVAR], *, nested: bool = True) -> Path:
    """Both files under their published names."""
    folder.mkdir(exist_ok=True)
    vae, var = (state_of(network, padded=nested) for network in networks)
    beside = {"steps": 3, "args": Namespace(lr=1e-4)}
    torch.save({"model": vae, **beside} if nested else vae, folder / VAE_PTH)
    torch.save({"trainer": {"var_wo_ddp": var}} if nested else var, folder / VAR_PTH)
    return folder


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_spec_gives_exactly_the_published_names_shapes_and_parameters(name):
    known = PUBLISHED[name]
    shapes = {key: tuple(shape) for key, (shape, _) in known["state"].items()}
    transformer = known["role"] == "transformer"
    layout = TRANSFORMER if transformer else TOKENIZER
    spec = FlexVARSpec.official(known["depth"]) if transformer else FlexVAESpec()
    assert kind_of(shapes) == layout.kind
    assert layout.state_shapes(spec) == shapes
    assert layout.infer(shapes, None) == spec
    layout.require(spec, shapes)
    count = sum(weight.numel() for weight in layout.skeleton(spec).parameters())
    assert count == known["parameters"]


@pytest.mark.parametrize("nested", [False, True])
def test_the_files_load_plain_or_as_trainers_leave_them(networks, nested, tmp_path):
    folder = put(tmp_path / "flex", networks, nested=nested)
    files = resolve(str(folder), tmp_path)
    loaded = load_pair(files.vqvae, files.var)
    assert isinstance(loaded.model, FlexVARPair) and loaded.family is FLEXVAR
    for ours, theirs in zip(loaded.model.networks, networks, strict=True):
        assert ours.spec == theirs.spec
        mine = ours.state_dict()
        assert all(torch.equal(mine[key], value) for key, value in theirs.state_dict().items())


@pytest.mark.parametrize("by", ["folder", "file"])
def test_the_card_is_the_same_before_and_after_loading(networks, by, tmp_path):
    folder = put(tmp_path / "flex", networks)
    name = str(folder if by == "folder" else folder / VAR_PTH)
    read, loaded = read_card(resolve(name, tmp_path)), load_editor(name, device="cpu").card
    assert read == loaded
    assert (read.family, read.scales[-1], read.side) == ("flexvar", 16, 2 * 16)


def test_masks_and_statistics_may_be_absent(networks, tmp_path):
    vae, var = networks
    torch.save(vae.state_dict(), tmp_path / VAE_PTH)
    state = {key: each for key, each in var.state_dict().items() if "zero_k_bias" not in key}
    torch.save(state, tmp_path / VAR_PTH)
    loaded = load_pair(tmp_path / VAE_PTH, tmp_path / VAR_PTH)
    assert not loaded.model.var.blocks[0].attn.zero_k_bias.any()


def wrong(state: dict[str, Tensor], change: str) -> dict[str, Tensor]:
    if change == "missing":
        return {key: each for key, each in state.items() if key != "blocks.1.attn.q_bias"}
    if change == "extra":
        return {**state, "blocks.0.attn.more": torch.zeros(1)}
    if change == "shape":
        return {**state, "blocks.1.attn.q_bias": torch.zeros(127)}
    if change == "grid":
        return {**state, "pos_1LC": torch.zeros(1, 128, 32, 16)}
    if change == "keys":
        return {**state, "blocks.0.attn.zero_k_bias": torch.ones(128)}
    if change == "codes":
        return {**state, "head.weight": torch.zeros(65, 128), "head.bias": torch.zeros(65)}
    assert change == "levels"
    return {**state, "lvl_embed.weight": torch.zeros(10, 128)}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("missing", "found none for 'blocks.1.attn.q_bias'"),
        ("extra", "found 'blocks.0.attn.more' as well"),
        ("shape", "expected 'blocks.1.attn.q_bias' as 128, found 127"),
        ("grid", "expected 'pos_1LC' as 1 x 128 x 32 x 32, found 1 x 128 x 32 x 16"),
        ("keys", "expected the usual values in 'blocks.0.attn.zero_k_bias'"),
        ("codes", "expected a codebook of 65 x 8"),
        ("levels", "expected 'pos_1LC' with 3 dimensions, found 1 x 128 x 32 x 32"),
    ],
)
def test_a_transformer_that_is_not_quite_one_is_refused_in_one_line(
    networks, change, said, tmp_path
):
    folder = put(tmp_path / "flex", networks)
    torch.save(wrong(state_of(networks[1]), change), folder / VAR_PTH)
    with pytest.raises(CheckpointError) as caught:
        load_pair(folder / VAE_PTH, folder / VAR_PTH)
    line = str(caught.value)
    assert said in line and "\n" not in line and str(folder) in line


def test_networks_of_two_families_are_not_a_pair(networks, tmp_path):
    folder = put(tmp_path / "flex", networks)
    vqvae, var = tmp_path / "vae_ch160v4096z32.pth", tmp_path / "var_d2.pth"
    same = {"codebook_size": 64, "latent_channels": 8}
    torch.save(official_state(VQVAESpec(width=32, multipliers=(1, 2), **same)), vqvae)
    torch.save(official_state(VARSpec(depth=2, width=128, **same)), var)
    for paths, said in (
        ((vqvae, folder / VAR_PTH), "expected a FlexVAE, found a VQVAE"),
        ((folder / VAE_PTH, var), "expected a VQVAE, found a FlexVAE"),
        ((folder / VAE_PTH, folder / VAE_PTH), "expected a VAR, found a FlexVAE"),
    ):
        with pytest.raises(CheckpointError, match=said):
            load_pair(*paths)
    assert inspect(folder / VAR_PTH).kind == "FlexVAR"
    assert inspect(var).kind == "VAR"


def test_a_folder_is_verified(networks, tmp_path):
    lines = verify(str(put(tmp_path / "flex", networks)), tmp_path)
    assert "FlexVAE, complete" in lines[0] and "FlexVAR, complete" in lines[1]


def test_any_other_schedule_is_the_same_network(networks):
    vae, var = networks
    other = FlexVARPair(vae, var).at(SCALES_DOUBLING)
    assert other.scheme.scales == SCALES_DOUBLING == other.var.spec.scales
    assert other.var.head is var.head and var.spec.scales[2] == 3
    assert vae.at((1, 2, 4)).side == 8 and vae.side == 32
