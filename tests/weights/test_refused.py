"""Weights files that are refused, each with one line."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from engine.errors import CheckpointError
from engine.model.spec import VARSpec
from engine.model.var.transformer import VAR
from engine.model.var.vqvae import VQVAE
from engine.weights.checkpoint import inspect, load_pair, load_var
from engine.weights.saving import VAR_FILE, VQVAE_FILE, save_model
from engine.weights.var import (
    ATTENTION_BIAS,
    LEVELS,
)
from tests.official import official_state
from tests.weights.nets import OWN_VQVAE, PLAIN_VAR, PLAIN_VQVAE, refused


def test_files_of_another_kind_are_refused(tmp_path):
    path = tmp_path / "var_d16.pth"
    assert "found none" in refused(path)
    assert "directory" in refused(tmp_path)
    contents = {
        b"": "empty",
        b"<!DOCTYPE html><title>404</title>": "another kind of file",
        b"version https://git-lfs.github.com/spec/v1\n": "another kind of file",
        b"\x80\x02garbage that is no pickle": "",
        b"PK\x03\x04" + bytes(100): "damaged, cut or foreign",
    }
    for content, message in contents.items():
        path.write_bytes(content)
        for kind in ("VAR", "VQVAE"):
            assert message in refused(path, kind)


def test_a_zip_of_other_things_is_refused(tmp_path):
    path = tmp_path / "var.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "not weights")
    assert "damaged, cut or foreign" in refused(path)


class Bomb:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


def test_a_pickle_that_would_run_code_is_refused_and_not_run(tmp_path):
    marker = tmp_path / "was-run"
    path = tmp_path / "var.pth"
    for save in (torch.save, lambda value, where: where.write_bytes(pickle.dumps(value))):
        save({"head.weight": Bomb(marker)}, path)
        assert "Python objects" in refused(path)
        assert not marker.exists()


@pytest.mark.parametrize(
    "content",
    [
        {},
        [torch.zeros(1)],
        torch.zeros(3),
        {"epoch": 3},
        {"trainer": {"vae": 1}},
        {1: torch.ones(1)},
    ],
)
def test_a_pth_without_a_state_dict_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "var.pth")
    assert "found a" in refused(tmp_path / "var.pth")


def test_another_network_and_the_partner_are_told_apart(tmp_path, plain):
    save_file({"conv1.weight": torch.zeros(3, 3)}, tmp_path / "resnet.safetensors")
    assert "another network's (1 tensors, such as 'conv1.weight')" in refused(
        tmp_path / "resnet.safetensors"
    )
    vqvae, var = plain
    assert "expected a VAR, found a VQVAE" in refused(vqvae, "VAR")
    assert "expected a VQVAE, found a VAR" in refused(var, "VQVAE")


def test_a_file_cut_short_says_how_long_it_should_be(own, plain, tmp_path):
    whole = (own / VAR_FILE).read_bytes()
    path = tmp_path / VAR_FILE
    path.write_bytes(whole[: len(whole) // 2])
    assert f"expected {len(whole)} bytes, found {len(whole) // 2}" in refused(path)
    whole = plain[1].read_bytes()
    path = tmp_path / "var_d2.pth"
    path.write_bytes(whole[: len(whole) // 2])
    assert "damaged, cut or foreign" in refused(path)


def changed(name: str, change) -> dict[str, torch.Tensor]:
    state = official_state(PLAIN_VAR)
    state[name] = change(state[name])
    return state


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("blocks.1.attn.proj.weight", lambda t: t[:60], "as 64 x 64, found 60 x 64"),
        ("head.bias", lambda t: t[:4], "'head.bias' as 32, found 4"),
        ("pos_1LC", lambda t: t[:, :300], "positions in all, found"),
        ("pos_1LC", lambda t: t[0], "3 dimensions, found 341 x 64"),
        ("word_embed.weight", lambda t: t.to(torch.int8), "expected floats"),
        ("blocks.0.attn.zero_k_bias", lambda t: t + 1, "usual values"),
        (LEVELS, lambda t: t.flip(1), "square maps"),
        (ATTENTION_BIAS, torch.zeros_like, "mask by scale"),
        (ATTENTION_BIAS, lambda t: t[..., :-1], "found 1 x 1 x 341 x 340"),
        ("blocks.0.ffn.fc3.weight", None, "fc3.weight' as well"),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(tmp_path, name, change, message):
    state = official_state(PLAIN_VAR)
    state[name] = torch.zeros(2) if change is None else change(state[name])
    torch.save(state, tmp_path / "var.pth")
    assert message in refused(tmp_path / "var.pth")


def test_missing_tensors_are_named_and_counted(tmp_path):
    state = official_state(PLAIN_VAR)
    for name in ("blocks.1.ffn.fc1.bias", "blocks.1.ffn.fc2.bias", "head_nm.ada_lin.1.bias"):
        del state[name]
    torch.save(state, tmp_path / "var.pth")
    assert "none for 'blocks.1.ffn.fc1.bias' and 2 others" in refused(tmp_path / "var.pth")


def test_degenerate_networks_are_refused(tmp_path):
    state = {name: tensor[:0] for name, tensor in official_state(PLAIN_VAR).items()}
    save_file(state, tmp_path / "empty.safetensors")
    assert "expected weights in" in refused(tmp_path / "empty.safetensors")
    state = official_state(PLAIN_VQVAE)
    torch.save({k: v for k, v in state.items() if "qresi" not in k}, tmp_path / "vae.pth")
    assert "'quantize.quant_resi.qresi_ls.0....'" in refused(tmp_path / "vae.pth", "VQVAE")


def test_networks_of_different_codebooks_are_refused(plain, own):
    with pytest.raises(CheckpointError, match=r"64 x 8 .*found 32 x 8.*belong together") as caught:
        load_pair(plain[0], own / VAR_FILE)
    assert str(plain[0]) in str(caught.value)
    assert str(own / VAR_FILE) in str(caught.value)


def test_networks_of_the_same_shape_but_another_codebook_are_refused(own, tmp_path):
    torch.manual_seed(2)
    save_model(tmp_path, VQVAE(OWN_VQVAE), None, labels=[], about="")
    with pytest.raises(CheckpointError, match=r"was trained with, found .* belong together"):
        load_pair(tmp_path / VQVAE_FILE, own / VAR_FILE)


def test_networks_of_different_scales_are_refused(own, tmp_path):
    spec = VARSpec(
        depth=1, width=64, scales=(1, 2, 4), num_classes=1, codebook_size=64, latent_channels=8
    )
    save_model(tmp_path, None, VAR(spec), labels=["a"], about="")
    with pytest.raises(CheckpointError, match=r"scales \(1, 2, 4\), found \(1, 2, 4, 7\)"):
        load_pair(own / VQVAE_FILE, tmp_path / VAR_FILE)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("version", "99", "format version 1, found '99'; update varpaint"),
        ("spec", "not json", "expected spec as JSON"),
        ("spec", "[1]", "expected spec as JSON"),
        ("spec", '{"scales": "all"}', "list of scales"),
        ("spec", '{"scales": []}', "list of scales"),
        ("spec", '{"scales": [1, 2, 4, 7], "depth": 9}', "expected depth 9 as its metadata says"),
        ("labels", '["a"]', "3 class names, found 1"),
        ("labels", '"abc"', "expected labels as JSON"),
        ("members", '["hen"]', "expected members as JSON"),
        ("members", '{"hen": ["duck"]}', "expected members as JSON"),
        ("members", '{"hen": []}', "expected members as JSON"),
    ],
)
def test_metadata_that_does_not_fit_is_refused(own, tmp_path, key, value, message):
    with safe_open(own / VAR_FILE, "pt") as file:
        metadata = file.metadata()
    save_file(load_file(own / VAR_FILE), tmp_path / VAR_FILE, {**metadata, key: value})
    with pytest.raises(CheckpointError) as caught:
        inspect(tmp_path / VAR_FILE, "VAR")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_damaged_file_loads_or_is_one_line(plain, own, tmp_path, ending, data):
    """Any byte changed, anywhere, or the file cut: never another exception than ours."""
    source = plain[1] if ending == "pth" else own / VAR_FILE
    whole = source.read_bytes()
    damaged = bytearray(whole)
    near_ends = st.integers(0, 4000) | st.integers(len(whole) - 4000, len(whole) - 1)
    place = data.draw(near_ends | st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        damaged[place] ^= data.draw(st.integers(1, 255))
    else:
        del damaged[place:]
    path = tmp_path / f"damaged.{ending}"
    path.unlink(missing_ok=True)
    path.write_bytes(damaged)
    try:
        load_var(path)
    except CheckpointError as error:
        assert "\n" not in str(error)
