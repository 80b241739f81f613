"""The check says what is wrong with a device, and only that."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from engine.__main__ import main
from engine.benchmark import check
from engine.benchmark.check import FIXTURES, ROUNDING, edits, example, fastest, kernels, parity
from engine.model.attention import sdpa
from engine.request.options import TASKS
from engine.weights.saving import save_model
from tests.tiny import LABELS, tiny_editor, tiny_var, tiny_vqvae

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("check") / "tiny"
    save_model(where, tiny_vqvae(), tiny_var(), labels=LABELS, about="a test")
    return where


def test_a_sound_machine_gets_one_page_without_a_fault(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "--device", "cpu", "--model", str(tiny)]) == 0
    told = capsys.readouterr().out
    lines = told.splitlines()
    assert len(lines) < 40 and "FAIL" not in told
    files = len(list(FIXTURES.glob("*.safetensors")))
    assert sum(line.startswith("ok   parity") for line in lines) == files
    for task in TASKS:
        assert any(line.startswith("ok   edit") and f"{task}: 0.000" in line for line in lines)
        assert any("speed" in line and f"{task} " in line for line in lines)
    assert "MB at most" in told and "xformers is for CUDA" in told


def test_a_wrong_number_is_told_and_the_command_fails(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with safe_open(FIXTURES / "separate_aln.safetensors", "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    tensors["f_hat"] += 2e-4
    save_file(tensors, tmp_path / "wrong.safetensors", metadata)
    words = ["check", "--device", "cpu", "--model", str(tiny), "--fixtures", str(tmp_path)]
    assert main([*words, "--json"]) == 2
    said = capsys.readouterr()
    report = json.loads(said.out)
    assert report["failed"] == 1
    (wrong,) = [each for each in report["findings"] if each["ok"] is False]
    assert wrong["about"] == "parity" and wrong["wrong"] == ["f_hat"]
    assert said.err.startswith("error: 1 of ") and said.err.count("\n") == 1


def test_without_the_authors_numbers_it_says_so_in_one_line(tmp_path: Path) -> None:
    (found,) = parity(CPU, tmp_path / "none")
    assert found.ok is None and "comes with the repository" in found.said


def test_an_edit_that_differs_from_run_to_run_is_wrong(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = check.load_editor(str(tiny), device="cpu", precision="float32")
    inner = loaded.model.vqvae.decode
    rng = np.random.default_rng(0)
    noisy = lambda x: inner(x) + float(rng.normal())  # noqa: E731
    object.__setattr__(loaded.model.vqvae, "decode", noisy)
    monkeypatch.setattr(check, "load_editor", lambda *_, **__: loaded)
    assert {found.ok for found in edits(CPU, "tiny")} == {False}


def test_an_example_has_a_request_of_every_task_and_the_fastest_run_counts() -> None:
    editor = tiny_editor()
    for task in TASKS:
        assert len(editor.run(example(editor, task, 2)).images) == 2
    calls: list[int] = []
    assert 0 <= fastest(CPU, lambda: calls.append(1), 3) < 1 and len(calls) == 4


def test_kernels_are_compared_at_every_scale() -> None:
    spec = tiny_var().spec
    cells, apart = kernels(CPU, torch.float32, spec, sdpa)
    assert apart == 0 and [cell.split(":")[0] for cell in cells] == [str(s) for s in spec.scales]
    _, apart = kernels(CPU, torch.float32, spec, lambda q, k, v, scale: sdpa(q, k, v, 1.2 * scale))
    assert apart > ROUNDING


@pytest.mark.gpu
def test_a_gpu_is_checked_with_its_attention(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--device", "cuda"]) == 0
    assert "ms of xformers/SDPA by scale" in capsys.readouterr().out
