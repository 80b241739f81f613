"""Weights files: every kind that is read, everything that is refused, and the round trip."""

from __future__ import annotations

import dataclasses
import json
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from engine.errors import CheckpointError, RequestError
from engine.model.spec import SCALES_512, SCALES_DOUBLING, VARSpec, VQVAESpec
from engine.model.var.transformer import VAR
from engine.model.var.vqvae import VQVAE
from engine.plan.rules import decide
from engine.request.options import EditOptions, Situation
from engine.weights.checkpoint import inspect, load_pair, load_var, load_vqvae
from engine.weights.metadata import DRAWS_FILE
from engine.weights.saving import EXACT, VAR_FILE, VQVAE_FILE, save_model
from engine.weights.var import (
    ATTENTION_BIAS,
    HITS,
    LEVELS,
    VAR_LAYOUT,
    VQVAE_LAYOUT,
    skeleton_var,
    skeleton_vqvae,
)
from tests.official import official_state, random_official

ROOT = Path(__file__).parent.parent.parent
OFFICIAL = json.loads((ROOT / "tests/data/parity/official_checkpoints.json").read_text())

# Small nets of the official kind (the doubling schedule is known by its length), and ones with
# everything that the official ones do not have.
PLAIN_VQVAE = VQVAESpec(
    scales=SCALES_DOUBLING, codebook_size=32, latent_channels=8, width=32, multipliers=(1, 2)
)
PLAIN_VAR = VARSpec(
    depth=2, width=64, scales=SCALES_DOUBLING, num_classes=5, codebook_size=32, latent_channels=8
)
OWN_VQVAE = VQVAESpec(
    scales=(1, 2, 4, 7),
    codebook_size=64,
    latent_channels=8,
    width=16,
    multipliers=(1, 3),
    blocks_per_level=1,
    phis=2,
    stem=4,
    linear_skip=True,
)
OWN_VAR = VARSpec(
    depth=2,
    width=128,
    scales=(1, 2, 4, 7),
    num_classes=3,
    codebook_size=64,
    latent_channels=8,
    mlp_ratio=2,
    shared_adaln=True,
    l2_norm=False,
)
LABELS = ["hen", "école", "hen"]


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> tuple[Path, Path]:
    """A small pair in the official format: (VQVAE, transformer)."""
    folder = tmp_path_factory.mktemp("plain")
    return random_official(PLAIN_VQVAE, folder), random_official(PLAIN_VAR, folder)


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> Path:
    """A small pair in our own format."""
    folder = tmp_path_factory.mktemp("own")
    torch.manual_seed(1)
    save_model(folder, VQVAE(OWN_VQVAE), VAR(OWN_VAR), labels=LABELS, about="Ours, MIT")
    return folder


def refused(path: Path, kind: str = "VAR") -> str:
    """The one line with which a file is refused."""
    with pytest.raises(CheckpointError) as caught:
        (load_var if kind == "VAR" else load_vqvae)(path)
    line = str(caught.value)
    assert "\n" not in line
    assert str(path) in line
    assert "expected" in line
    assert "found" in line
    return line


def shapes_of(spec: VQVAESpec | VARSpec) -> dict[str, tuple[int, ...]]:
    return (VQVAE_LAYOUT if isinstance(spec, VQVAESpec) else VAR_LAYOUT).state_shapes(spec)


# The official checkpoints


def spec_of(name: str) -> VQVAESpec | VARSpec:
    return VQVAESpec.official() if name.startswith("vae") else VARSpec.official(int(name[5:]))


@pytest.mark.parametrize("name", OFFICIAL)
def test_official_spec_gives_exactly_the_official_names_shapes_and_parameters(name):
    expected, spec = OFFICIAL[name], spec_of(name)
    assert shapes_of(spec) == {key: tuple(shape) for key, (shape, _) in expected["state"].items()}
    if isinstance(spec, VARSpec):
        assert list(spec.scales) == expected["patch_nums"]
        assert spec.shared_adaln == expected["shared_aln"]
        network = skeleton_var(spec)
    else:
        network = skeleton_vqvae(spec)
    assert sum(each.numel() for each in network.parameters()) == expected["parameters"]
    assert sum(each.nbytes for each in network.parameters() if not each.is_meta) < 3_000_000


@pytest.mark.parametrize("name", OFFICIAL)
def test_spec_is_inferred_from_official_names_and_shapes(name, monkeypatch):
    shapes = {key: tuple(shape) for key, (shape, _) in OFFICIAL[name]["state"].items()}
    layout = VQVAE_LAYOUT if name.startswith("vae") else VAR_LAYOUT
    assert layout.infer(shapes, None) == spec_of(name)


def test_official_vqvae_serves_both_picture_sizes(tmp_path):
    path = random_official(PLAIN_VQVAE, tmp_path)
    vqvae = load_vqvae(path, scales=SCALES_512)
    assert vqvae.spec.scales == SCALES_512
    assert vqvae.quantize.ema_vocab_hit_SV.shape == (10, 32)
    usual = VQVAE(dataclasses.replace(PLAIN_VQVAE, scales=SCALES_512))
    assert vqvae.quantize.quant_resi.pick == usual.quantize.quant_resi.pick


# Every kind of file that is read


def same(network: torch.nn.Module, state: dict[str, torch.Tensor]) -> bool:
    mine = network.state_dict()
    return all(torch.equal(mine[name], state[name].to(mine[name].dtype)) for name in mine)


def test_flat_pth_of_the_authors_loads_to_the_same_weights(plain):
    loaded = load_pair(*plain)
    assert loaded.model.vqvae.spec == PLAIN_VQVAE
    assert loaded.model.var.spec == PLAIN_VAR
    assert (loaded.labels, loaded.about) == ((), "")
    assert same(loaded.model.vqvae, official_state(PLAIN_VQVAE))
    assert same(loaded.model.var, official_state(PLAIN_VAR))
    for network in (loaded.model.vqvae, loaded.model.var):
        assert not network.training
        assert not any(each.requires_grad or each.is_meta for each in network.parameters())
        assert not any(each.is_meta for each in network.buffers())


def test_a_loaded_network_computes_what_the_saved_one_did(plain):
    loaded = load_pair(*plain)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        vqvae = VQVAE(PLAIN_VQVAE)
        torch.manual_seed(0)
        var = VAR(PLAIN_VAR)
    picture = torch.rand(1, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        maps, f_hat = vqvae.quantize.encode(vqvae.features(picture))
        assert all(map(torch.equal, loaded.model.vqvae.encode(picture), maps))
        assert torch.equal(loaded.model.vqvae.decode(f_hat), vqvae.decode(f_hat))
        inputs, _ = vqvae.quantize.teacher_inputs(maps)
        label = torch.tensor([2])
        assert torch.equal(loaded.model.var(inputs, label), var(inputs, label))


def test_loaded_weights_outlive_their_file(tmp_path):
    path = random_official(PLAIN_VAR, tmp_path)
    var = load_var(path)
    path.write_bytes(b"\0" * path.stat().st_size)  # a mapped tensor would change, or crash
    assert same(var, official_state(PLAIN_VAR))


def test_trainers_nested_checkpoint_loads_both_networks_from_one_file(tmp_path):
    path = tmp_path / "ar-ckpt-last.pth"
    trainer = {
        "config": {"patch_nums": (1, 2), "label_smooth": 0.0},
        "var_wo_ddp": official_state(PLAIN_VAR),
        "vae_local": official_state(PLAIN_VQVAE),
        "var_opt": {"optimizer": {"state": {}, "param_groups": [{"lr": 1e-4}]}, "scaler": None},
    }
    torch.save({"epoch": 3, "iter": 0, "trainer": trainer, "args": {"depth": 2}}, path)
    loaded = load_pair(path, path)
    assert same(loaded.model.vqvae, trainer["vae_local"])
    assert same(loaded.model.var, trainer["var_wo_ddp"])


def test_official_names_in_safetensors_and_old_pickles_load_too(tmp_path):
    state = official_state(PLAIN_VAR)
    save_file(state, tmp_path / "a.safetensors")
    torch.save(state, tmp_path / "b.pth", _use_new_zipfile_serialization=False)
    for name in ("a.safetensors", "b.pth"):
        assert same(load_var(tmp_path / name), state)


def test_the_content_decides_and_not_the_ending(tmp_path):
    state = official_state(PLAIN_VAR)
    save_file(state, tmp_path / "var.pth")
    assert same(load_var(tmp_path / "var.pth"), state)


def test_half_precision_files_load_in_any_precision(tmp_path):
    state = {
        name: value.half() if value.is_floating_point() else value
        for name, value in official_state(PLAIN_VAR).items()
    }
    torch.save(state, tmp_path / "var.pth")
    assert load_var(tmp_path / "var.pth").dtype == torch.float32
    assert same(load_var(tmp_path / "var.pth"), state)


def test_stored_buffers_may_be_absent_and_usage_rows_may_differ(tmp_path):
    state = official_state(PLAIN_VAR)
    bare = {k: v for k, v in state.items() if not k.endswith((LEVELS, "zero_k_bias"))}
    del bare[ATTENTION_BIAS]
    torch.save(bare, tmp_path / "var.pth")
    assert same(load_var(tmp_path / "var.pth"), state)
    partner = official_state(PLAIN_VQVAE)
    partner[HITS] = torch.ones(13, 32)
    torch.save(partner, tmp_path / "vae.pth")
    vqvae = load_vqvae(tmp_path / "vae.pth", scales=SCALES_DOUBLING)
    assert vqvae.quantize.ema_vocab_hit_SV.shape == (5, 32)


def test_an_unknown_schedule_is_read_from_the_levels(tmp_path):
    spec = VARSpec(
        depth=1, width=64, scales=(1, 3, 5), num_classes=2, codebook_size=32, latent_channels=8
    )
    path = random_official(spec, tmp_path)
    assert load_var(path).spec == spec
    state = official_state(spec)
    del state[LEVELS]
    torch.save(state, path)
    assert "680" in refused(path)
    assert "found 35" in refused(path)


# Precision


def test_matrices_take_the_precision_and_what_is_exact_stays_float32(plain):
    loaded = load_pair(*plain, dtype=torch.bfloat16)
    assert loaded.model.var.dtype == torch.bfloat16
    named = loaded.model.var.named_parameters()
    full = {name for name, each in named if each.dtype == torch.float32}
    assert full == {
        "pos_start",
        "pos_1LC",
        "lvl_embed.weight",
        "word_embed.weight",
        "word_embed.bias",
        *(f"blocks.{i}.attn.scale_mul_1H11" for i in range(2)),
    }
    for name, tensor in loaded.model.vqvae.state_dict().items():
        exact = torch.float32 if name.startswith(EXACT) else torch.bfloat16
        assert tensor.dtype == exact, name
    vqvae = load_pair(*plain, dtype=torch.bfloat16, vqvae_dtype=torch.float32).model.vqvae
    assert vqvae.encoder.conv_in.weight.dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_networks_run_in_half_precision_and_stay_close_to_float32(own, dtype):
    exact = load_pair(own / VQVAE_FILE, own / VAR_FILE)
    half = load_pair(own / VQVAE_FILE, own / VAR_FILE, dtype=dtype)
    picture = torch.rand(1, 3, 56, 56) * 2 - 1
    with torch.no_grad():
        maps = exact.model.vqvae.encode(picture)
        inputs, f_hat = exact.model.vqvae.quantize.teacher_inputs(maps)
        again, f_hat_half = half.model.vqvae.quantize.teacher_inputs(maps)
        assert torch.equal(inputs, again)
        assert torch.equal(f_hat, f_hat_half)
        label = torch.tensor([1])
        difference = half.model.var(inputs, label) - exact.model.var(inputs, label)
        assert difference.abs().max() < 0.1
        decoded = half.model.vqvae.decode(f_hat.to(dtype)).float()
        assert (decoded - exact.model.vqvae.decode(f_hat)).abs().max() < 0.1


# Our own format


def test_own_format_round_trips_specs_labels_text_and_weights(own):
    loaded = load_pair(own / VQVAE_FILE, own / VAR_FILE)
    assert loaded.model.vqvae.spec == OWN_VQVAE
    assert loaded.model.var.spec == OWN_VAR
    assert loaded.labels == tuple(LABELS)
    assert loaded.about == "Ours, MIT"
    torch.manual_seed(1)
    vqvae, var = VQVAE(OWN_VQVAE), VAR(OWN_VAR)
    assert torch.equal(loaded.model.scheme.codebook, vqvae.quantize.codebook)
    assert same(loaded.model.var, {k: v if v.dtype == torch.int64 else v.half()
                             for k, v in var.state_dict().items()})


def test_saving_what_was_loaded_gives_the_same_bytes(own, tmp_path):
    loaded = load_pair(own / VQVAE_FILE, own / VAR_FILE)
    save_model(tmp_path, loaded.model.vqvae, loaded.model.var, labels=LABELS, about="Ours, MIT")
    for name in (VQVAE_FILE, VAR_FILE):
        first, second = (load_file(folder / name) for folder in (own, tmp_path))
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first)


def test_what_a_class_stands_for_comes_back(own, tmp_path):
    members = {"hen": ["école"]}
    save_model(tmp_path, None, VAR(OWN_VAR), labels=LABELS, members=members, about="")
    own_vqvae = own / VQVAE_FILE
    with safe_open(tmp_path / VAR_FILE, "pt") as file:
        assert "codebook" not in file.metadata()
    assert load_pair(own_vqvae, tmp_path / VAR_FILE).members == members
    assert load_pair(own_vqvae, own / VAR_FILE).members == {}


def test_which_members_a_class_draws_is_said_beside_the_model(own, tmp_path):
    name, *others = LABELS
    save_model(tmp_path, None, VAR(OWN_VAR), labels=LABELS, members={name: others}, about="")
    own_vqvae, var, beside = own / VQVAE_FILE, tmp_path / VAR_FILE, tmp_path / DRAWS_FILE
    assert load_pair(own_vqvae, var).draws == {}
    beside.write_text(json.dumps({name: others[:1]}, ensure_ascii=False), encoding="utf-8")
    assert load_pair(own_vqvae, var).draws == {name: others[:1]}
    foreign = [{name: ["griffin"]}, {name: []}, {others[0]: others[:1]}, [name], {name: "a"}]
    for text in ["{", *map(json.dumps, foreign)]:
        beside.write_text(text, encoding="utf-8")
        with pytest.raises(CheckpointError, match=r"draws\.json: expected JSON") as caught:
            load_pair(own_vqvae, var)
        assert "\n" not in str(caught.value)


def test_matrices_are_stored_in_half_precision_and_the_quantizer_exactly(own):
    stored = load_file(own / VQVAE_FILE)
    for name, tensor in stored.items():
        exact = torch.float32 if name.startswith(EXACT) else torch.float16
        assert tensor.dtype == exact


def test_a_weight_beyond_half_precision_is_stored_in_full(tmp_path):
    var = VAR(OWN_VAR)
    with torch.no_grad():
        var.head.bias[0] = 1e6
    save_model(tmp_path, None, var, labels=LABELS, about="")
    assert load_var(tmp_path / VAR_FILE).head.bias[0] == 1e6


def test_channels_last_networks_can_be_saved(tmp_path):
    from engine.model.var.autoencoder import channels_last

    vqvae = VQVAE(OWN_VQVAE)
    channels_last(vqvae)
    save_model(tmp_path, vqvae, None, labels=[], about="")
    assert not (tmp_path / VAR_FILE).exists()
    assert load_vqvae(tmp_path / VQVAE_FILE).spec == OWN_VQVAE


def test_extra_metadata_is_kept_and_files_are_readable_by_others(own, tmp_path):
    save_model(
        tmp_path,
        None,
        VAR(OWN_VAR),
        labels=LABELS,
        about="a",
        extra={"licence": "MIT", "epoch": "3"},
    )
    with safe_open(tmp_path / VAR_FILE, "pt") as file:
        metadata = file.metadata()
    assert metadata["licence"] == "MIT"
    assert metadata["epoch"] == "3"
    assert (tmp_path / VAR_FILE).stat().st_mode & 0o777 == 0o644


def test_a_failed_save_leaves_the_old_file_and_no_rubbish(own, tmp_path, monkeypatch):
    save_model(tmp_path, None, VAR(OWN_VAR), labels=LABELS, about="old")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(RequestError, match="no space left"):
        save_model(tmp_path, None, VAR(OWN_VAR), labels=LABELS, about="new")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_model_needs_a_name_for_each_class(tmp_path):
    with pytest.raises(CheckpointError, match="expected 3 class names, found 2"):
        save_model(tmp_path, None, VAR(OWN_VAR), labels=["a", "b"], about="")
    assert list(tmp_path.iterdir()) == []


def test_inspect_tells_what_a_file_is_without_reading_its_weights(own):
    found = inspect(own / VAR_FILE, "VAR")
    assert (found.spec, found.labels, found.about) == (OWN_VAR, tuple(LABELS), "Ours, MIT")
    assert inspect(own / VQVAE_FILE, "VQVAE").spec == OWN_VQVAE


def test_inspect_of_values_finds_what_is_not_a_number(tmp_path):
    state = official_state(PLAIN_VAR)
    state["head.bias"][3] = torch.nan
    torch.save(state, tmp_path / "var.pth")
    inspect(tmp_path / "var.pth", "VAR")
    with pytest.raises(CheckpointError, match="expected numbers in 'head"):
        inspect(tmp_path / "var.pth", "VAR", values=True)


# What is refused


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


# Memory

MEASURE = """
import json, sys, time, torch
from engine.weights.checkpoint import load_pair
def peak():
    with open("/proc/self/status") as file:
        fields = dict(line.split(":", 1) for line in file)
    return int(fields["VmHWM"].split()[0]) * 1024
torch.set_num_threads(1)
before, start = peak(), time.perf_counter()
loaded = load_pair(sys.argv[1], sys.argv[2], dtype=getattr(torch, sys.argv[3]))
seconds = time.perf_counter() - start
weights = sum(t.nbytes for n in loaded.model.networks for t in n.state_dict().values())
print(json.dumps({"peak": peak() - before, "weights": weights, "seconds": seconds}))
"""


def measure_load(vqvae: Path, var: Path, dtype: str) -> dict[str, float]:
    """Peak memory and time of loading, in a process of its own."""
    command = [sys.executable, "-c", MEASURE, str(vqvae), str(var), dtype]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_loading_holds_no_second_copy(tmp_path, dtype):
    spec = VARSpec(depth=6, width=768, scales=SCALES_DOUBLING)  # 66 M parameters
    var = random_official(spec, tmp_path)
    vqvae = random_official(
        VQVAESpec(scales=SCALES_DOUBLING, width=32, multipliers=(1, 2)), tmp_path
    )
    found = measure_load(vqvae, var, dtype)
    assert found["peak"] < 1.25 * found["weights"] + 60e6


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_random_weights_of_the_d16_shape_load_within_memory(tmp_path):
    var = random_official(VARSpec.d16(), tmp_path)
    vqvae = random_official(VQVAESpec.official(), tmp_path)
    assert var.stat().st_size == pytest.approx(1.24e9, rel=0.01)
    assert vqvae.stat().st_size == pytest.approx(436e6, rel=0.01)
    found = measure_load(vqvae, var, "bfloat16")
    print(found)
    assert found["weights"] < 0.86e9
    assert found["peak"] < 1.25 * found["weights"]


def test_a_linear_encoder_is_inferred_from_the_file_and_gives_the_same_features(tmp_path):
    """The tower adds nothing while its last convolution is zero, so it can be left out."""
    from engine.training.export import without_idle_tower

    full = VQVAE(OWN_VQVAE)
    assert without_idle_tower(full) is full, "a tower that adds something stays"
    with torch.no_grad():
        full.encoder.conv_out.weight.zero_()
        full.encoder.conv_out.bias.zero_()
    small = without_idle_tower(full)
    assert small.spec.linear_encoder and "encoder.conv_in.weight" not in small.state_dict()
    save_model(tmp_path, small, None, labels=[], about="")
    for dtype in (torch.float32, torch.bfloat16):
        loaded = load_vqvae(tmp_path / VQVAE_FILE, dtype=dtype)
        assert loaded.spec == small.spec
        picture = torch.rand(1, 3, full.spec.side, full.spec.side) * 2 - 1
        with torch.inference_mode():
            torch.testing.assert_close(loaded.features(picture), full.features(picture))


def test_a_model_may_say_which_sampling_suits_it(tmp_path):
    spec = OWN_VAR
    vqvae, var = VQVAE(OWN_VQVAE), VAR(spec)
    extra = {"defaults": json.dumps({"top_k": 7})}
    save_model(tmp_path, vqvae, var, labels=LABELS, about="", extra=extra)
    loaded = load_pair(tmp_path / VQVAE_FILE, tmp_path / VAR_FILE)
    assert loaded.defaults == {"top_k": 7}
    situation = Situation(task="generate", scales=spec.scales, recommended=loaded.defaults)
    _, sampling, *_ = decide(EditOptions(guidance=1.0), situation)
    assert (sampling.top_k, sampling.guidance) == (7, 1.0)
    for text in ("[1]", '{"guidance": null}', '{"guidance": "3"}', '{"top_k": 20.0}'):
        save_model(tmp_path, vqvae, var, labels=LABELS, about="", extra={"defaults": text})
        with pytest.raises(CheckpointError, match="expected defaults"):
            load_pair(tmp_path / VQVAE_FILE, tmp_path / VAR_FILE)
    suits = {"guidance": 3, "guidance_schedule": "constant", "top_p": 0.5}
    extra = {"defaults": json.dumps(suits)}
    save_model(tmp_path, vqvae, var, labels=LABELS, about="", extra=extra)
    assert load_pair(tmp_path / VQVAE_FILE, tmp_path / VAR_FILE).defaults == suits
