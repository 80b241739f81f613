"""Which models there are, which is taken, what is verified and removed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from engine.errors import CheckpointError, ModelNotFoundError
from engine.loading import load_editor
from engine.model.spec import VARSpec, VQVAESpec
from engine.weights.checkpoint import load_pair
from engine.weights.download import fetch
from engine.weights.published import OFFICIAL
from engine.weights.registry import (
    free_memory,
    models,
    remove,
    resolve,
    verify,
)
from tests.official import official_state
from tests.weights.shelf import CONTENT, REPOSITORY, SHA256, VQVAE_PTH, one_line, put, save_small

NAMES = [f"var-d{depth}" for depth in (16, 20, 24, 30, 36)]
FLEX = [f"flexvar-d{depth}" for depth in (16, 20, 24)]
MORE = [f"hmar-d{depth}" for depth in (16, 20, 24, 30)] + [f"code-{n}" for n in (6, 7, 8, 9)]
GB = 10**9


def test_the_registry_knows_the_official_checkpoints_and_their_exact_size():
    for model in OFFICIAL:
        spec, codec = model.spec, model.tokenizer_spec
        own = model.family.layout
        assert model.tokens == spec.num_tokens
        assert model.side == 16 * spec.scales[-1]
        for layout, each, count in (
            (own.transformer, spec, model.parameters),
            (own.tokenizer, codec, model.tokenizer.parameters),
        ):
            assert sum(w.numel() for w in layout.skeleton(each).parameters()) == count


def test_known_models_are_listed_with_what_they_take(weights):
    listed = {info.name: info for info in models(weights)}
    assert list(listed) == ["bundled", *NAMES, *FLEX, *MORE]
    assert not any(listed[name].present for name in NAMES)
    assert listed["var-d16"].bytes == pytest.approx(1.24 * GB + 0.436 * GB, rel=0.01)
    assert listed["var-d36"].side == 512
    assert {listed[name].licence for name in NAMES} == {"MIT"}
    assert {listed[name].source for name in NAMES} == {REPOSITORY}


@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_files_put_there_under_their_official_names_are_found(weights, ending):
    put(weights, f"var_d20{ending}")
    assert "var-d20" not in [info.name for info in models(weights) if info.present]
    put(weights, VQVAE_PTH)
    listed = {info.name: info for info in models(weights)}
    assert listed["var-d20"].present
    assert listed["var-d20"].bytes == 20
    files = resolve("var-d20", weights)
    assert files.var == weights / f"var_d20{ending}"
    assert files.vqvae == weights / VQVAE_PTH
    assert (files.name, files.source) == ("var-d20", REPOSITORY)


def test_a_folder_of_ones_own_is_offered_under_its_name(weights):
    save_small(weights / "birds", about="Two birds, for tests")
    info = models(weights)[-1]
    assert (info.name, info.about, info.licence) == ("birds", "Two birds, for tests", "CC0-1.0")
    assert (info.side, info.present) == (8, True)
    files = (weights / "birds").glob("*.safetensors")
    assert info.bytes == sum(path.stat().st_size for path in files)
    files = resolve("birds", weights)
    loaded = load_pair(files.vqvae, files.var)
    assert loaded.labels == ("hen", "owl")


def test_the_bundled_model_is_a_folder_too(weights):
    save_small(weights / "bundled")
    assert models(weights)[0].about == "Small"
    assert resolve("bundled", weights).vqvae.parent == weights / "bundled"
    assert [info.name for info in models(weights)].count("bundled") == 1


def test_damaged_files_do_not_break_the_list(weights):
    put(weights / "broken", "vqvae.safetensors", "var.safetensors")
    assert models(weights)[-1].name == "broken"
    assert models(weights)[-1].side == 0


def test_a_weights_folder_that_is_not_there_is_empty(tmp_path):
    assert len(models(tmp_path / "nowhere")) >= 6


def test_listing_models_loads_no_network_library():
    code = (
        "import sys; from engine.weights.registry import models; models(); "
        "sys.exit('torch' in sys.modules or 'huggingface_hub' in sys.modules)"
    )
    root = Path(__file__).parent.parent.parent
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


def test_auto_takes_the_best_that_is_here_and_fits(weights):
    save_small(weights / "bundled")
    plenty = 80 * GB
    assert resolve("auto", weights, memory=plenty).name == "bundled"
    put(weights, VQVAE_PTH, "var_d16.pth", "var_d30.pth")
    assert resolve("auto", weights, memory=plenty).name == "var-d30"
    assert resolve("auto", weights, memory=3 * GB).name == "var-d16"
    assert resolve("auto", weights, memory=1 * GB // 2).name == "bundled"
    put(weights, "var_d36.pth")
    assert resolve("auto", weights, memory=plenty).name == "var-d36"
    assert resolve("auto", weights, memory=6 * GB).name == "var-d30"
    assert resolve("auto", weights, memory=6 * GB, bytes_per_weight=4).name == "var-d16"


@pytest.mark.parametrize(("device", "free"), [("cuda", 7), ("cuda:0", 7), ("cuda:1", 3)])
def test_a_model_has_to_fit_the_gpu_that_was_asked_for(monkeypatch, weights, device, free):
    asked = []

    def taken(name, weights, *, memory, bytes_per_weight):
        asked.append((memory, free_memory(), bytes_per_weight))
        raise ModelNotFoundError("enough")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(
        torch.cuda, "mem_get_info",
        lambda which=None: ((7, 3)[torch.device(which or "cuda").index or 0], 80),
    )  # fmt: skip
    monkeypatch.setattr("engine.loading.resolve", taken)
    with pytest.raises(ModelNotFoundError):
        load_editor("auto", device=device, weights=weights)
    assert asked == [(free, 7, 2)]
    assert free_memory("cpu") not in (3, 7)


def test_auto_without_a_number_asks_the_machine(weights):
    save_small(weights / "bundled")
    put(weights, VQVAE_PTH, "var_d16.pth")
    assert resolve("auto", weights).name in ("bundled", "var-d16")


def test_a_missing_file_is_named_with_the_command_that_brings_it(weights):
    put(weights, VQVAE_PTH)
    with pytest.raises(ModelNotFoundError) as caught:
        resolve("var-d16", weights)
    line = one_line(caught)
    assert "var_d16.pth missing" in line
    assert "python -m engine models download var-d16" in line


@pytest.mark.parametrize("name", ["var-d61", "VAR_D16", "d16", "bundle", "nonsense", "", "a\0b"])
def test_an_unknown_model_brings_the_known_ones(weights, name):
    with pytest.raises(ModelNotFoundError) as caught:
        resolve(name, weights)
    line = one_line(caught)
    assert all(known in line for known in ("auto", "bundled", *NAMES))
    if name in ("var-d61", "VAR_D16"):
        assert "var-d16" in line.split("did you mean")[1].split("?")[0]


def test_a_path_is_a_model_too(tmp_path):
    save_small(tmp_path / "mine")
    for name in (str(tmp_path / "mine"), str(tmp_path / "mine" / "var.safetensors")):
        files = resolve(name, tmp_path / "weights")
        assert files.vqvae == tmp_path / "mine" / "vqvae.safetensors"
        assert files.name == name
    put(tmp_path / "theirs", VQVAE_PTH, "var_d16.pth")
    assert resolve(str(tmp_path / "theirs"), tmp_path).var.name == "var_d16.pth"
    put(tmp_path / "theirs", "var_d20.pth")
    with pytest.raises(ModelNotFoundError, match=r"found var_d16.pth, var_d20.pth; give the path"):
        resolve(str(tmp_path / "theirs"), tmp_path)
    files = resolve(str(tmp_path / "theirs" / "var_d20.pth"), tmp_path)
    assert (files.var.name, files.vqvae.name) == ("var_d20.pth", VQVAE_PTH)


def test_a_folder_without_a_model_says_what_was_expected(tmp_path):
    put(tmp_path / "photos", "a.jpg", "b.jpg")
    with pytest.raises(ModelNotFoundError, match=r"expected vqvae.* found a.jpg, b.jpg"):
        resolve(str(tmp_path / "photos"), tmp_path)


def test_a_trainers_checkpoint_is_a_model_in_one_file(tmp_path):
    vqvae = VQVAESpec(
        scales=(1, 2, 4, 8, 16), codebook_size=32, latent_channels=8, width=32, multipliers=(1, 1)
    )
    var = VARSpec(
        depth=1, width=64, scales=vqvae.scales, num_classes=2, codebook_size=32, latent_channels=8
    )
    path = tmp_path / "ar-ckpt-best.pth"
    nested = {"var_wo_ddp": official_state(var), "vae_local": official_state(vqvae)}
    torch.save({"trainer": nested}, path)
    files = resolve(str(path), tmp_path)
    assert load_pair(files.vqvae, files.var).model.var.spec == var


def test_verify_passes_a_good_model_and_says_what_was_compared(weights):
    save_small(weights / "birds")
    lines = verify("birds", weights)
    assert len(lines) == 2
    assert all("complete, SHA-256" in line and "as recorded" in line for line in lines)
    (weights / "birds" / "var.safetensors.sha256").unlink()
    assert "nothing recorded" in verify("birds", weights)[1]


def test_the_bundled_weights_are_those_that_were_recorded():
    lines = verify("bundled")
    assert len(lines) == 2 and all("as recorded" in line for line in lines)


@pytest.mark.parametrize("name", ["x" * 300, "~nosuchuser", "~nosuchuser/x", "a/" * 3000, "\0"])
def test_a_name_that_is_no_path_either_is_an_unknown_model(name, weights):
    with pytest.raises(ModelNotFoundError, match="unknown model") as told:
        resolve(name, weights)
    assert len(str(told.value)) < 400


def test_verify_finds_a_changed_file(hub, weights):
    path = fetch(REPOSITORY, VQVAE_PTH, weights, endpoint=hub.endpoint)
    put(weights, "var_d16.pth")
    path.write_bytes(CONTENT[:-1] + b"?")
    with pytest.raises(CheckpointError, match=f"expected SHA-256 {SHA256} as recorded") as caught:
        verify("var-d16", weights)
    assert str(path) in one_line(caught)


def test_verify_finds_another_network_under_an_official_name(weights):
    vqvae = VQVAESpec(scales=(1, 2, 4, 8, 16), width=32, multipliers=(1, 1))
    var = VARSpec(depth=1, width=64, scales=vqvae.scales)
    torch.save(official_state(vqvae), weights / VQVAE_PTH)
    torch.save(official_state(var), weights / "var_d16.pth")
    with pytest.raises(CheckpointError, match="expected VQVAESpec") as caught:
        verify("var-d16", weights)
    assert "width=160" in one_line(caught)


def test_a_list_says_what_is_begun_and_what_is_missing(weights):
    def listed(name: str):
        return next(info for info in models(weights) if info.name == name)

    whole = listed("var-d16")
    assert (whole.missing, whole.begun, whole.published) == (whole.bytes, False, True)
    (weights / "var_d16.pth.0123456789ab.part").write_bytes(bytes(1000))
    begun = listed("var-d16")
    assert (begun.missing, begun.begun, begun.present) == (whole.bytes - 1000, True, False)
    put(weights, VQVAE_PTH)
    assert listed("var-d20").missing == listed("var-d20").bytes - 10
    assert not listed("var-d20").begun, "the tokenizer is there for another"
    put(weights, "var_d16.pth")
    assert listed("var-d16").missing == 0
    assert not listed("hmar-d16").commercial and listed("bundled").memory == 0


def test_what_ends_while_it_is_listed_does_not_break_the_list(weights, monkeypatch):
    gone = weights / "var_d16.pth.0123456789ab.part"
    monkeypatch.setattr("engine.weights.registry.unfinished", lambda *_: [gone])
    listed = next(info for info in models(weights) if info.name == "var-d16")
    assert listed.missing == listed.bytes and not listed.present


def test_what_is_removed_takes_nothing_along_that_others_need(weights):
    put(weights, VQVAE_PTH, "var_d16.pth", "var_d20.pth", "var_d16.pth.sha256")
    (weights / "var_d16.pth.0123456789ab.part").write_bytes(b"x")
    assert {path.name for path in remove("var-d16", weights)} == {
        "var_d16.pth", "var_d16.pth.0123456789ab.part"
    }  # fmt: skip
    assert sorted(path.name for path in weights.iterdir()) == [VQVAE_PTH, "var_d20.pth"]
    remove("var-d20", weights)
    assert list(weights.iterdir()) == []


@pytest.mark.parametrize("name", ["bundled", "birds", "../x", "auto", ""])
def test_what_is_no_official_model_is_never_removed(weights, name):
    save_small(weights / "birds")
    save_small(weights / "bundled")
    before = sorted(weights.rglob("*"))
    with pytest.raises(ModelNotFoundError, match="only official models"):
        remove(name, weights)
    assert sorted(weights.rglob("*")) == before


def test_the_bundled_model_is_there_wherever_downloads_go(tmp_path):
    code = "from engine.weights.registry import models; print(models()[0].present)"
    root = Path(__file__).parent.parent.parent
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=root, text=True, capture_output=True, check=True,
        env={**os.environ, "VARPAINT_WEIGHTS": str(tmp_path / "elsewhere")},
    )  # fmt: skip
    assert told.stdout == "True\n"
