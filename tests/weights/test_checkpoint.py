"""Weights files: every kind that is read, and in which precision."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from engine.model.spec import SCALES_512, SCALES_DOUBLING, VARSpec, VQVAESpec
from engine.model.var.transformer import VAR
from engine.model.var.vqvae import VQVAE
from engine.weights.checkpoint import load_pair, load_var, load_vqvae
from engine.weights.saving import EXACT, VAR_FILE, VQVAE_FILE
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
from tests.weights.nets import PLAIN_VAR, PLAIN_VQVAE, refused, same

ROOT = Path(__file__).parent.parent.parent
OFFICIAL = json.loads((ROOT / "tests/data/parity/official_checkpoints.json").read_text())


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
