"""The benchmark measures what it says: its yardstick is the authors' algorithm."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.benchmark import measure as measuring
from engine.benchmark import meter, table
from engine.benchmark.measure import EXACT, FAST, REROLL, Case, measure
from engine.benchmark.meter import Clock, run_flop, scale_flop
from engine.benchmark.plain import plain_edit
from engine.model.hmar.spec import HMARSpec
from engine.model.spec import VARSpec
from engine.weights.published import BY_NAME
from tests.parity import TOLERANCE, read
from tests.test_parity import VAR_FIXTURES


@pytest.mark.parametrize("path", VAR_FIXTURES, ids=lambda path: path.stem)
@pytest.mark.parametrize("task", ["inpaint", "outpaint"])
def test_the_plain_implementation_gives_the_authors_picture(path: object, task: str) -> None:
    with torch.inference_mode():
        fixture = read(path)
    picture = plain_edit(
        fixture.vqvae,
        fixture.var,
        fixture.expected["image"],
        fixture.expected[f"{task}_keep_mask"],
        label=None if task == "inpaint" else fixture.label,
        guidance=fixture.guidance,
        top_k=1,
        top_p=0.9,
        variations=2,
        generator=torch.Generator().manual_seed(0),
        autocast=False,
    )
    expected = fixture.expected[f"{task}_image"]
    assert float(((picture + 1) / 2 - expected).abs().max()) <= TOLERANCE


def test_under_autocast_the_plain_implementation_gives_nearly_the_same() -> None:
    with torch.inference_mode():
        fixture = read(VAR_FIXTURES[0])
    pictures = [
        plain_edit(
            fixture.vqvae, fixture.var, fixture.expected["image"],
            torch.ones_like(fixture.expected["inpaint_keep_mask"]), label=None, guidance=0,
            top_k=1, top_p=1, variations=1, generator=torch.Generator(), autocast=autocast,
        )
        for autocast in (False, True)
    ]  # fmt: skip
    # A token here and there becomes another, more of them where the processor has no bfloat16.
    (exact, rough) = (picture.flatten() for picture in pictures)
    assert float(torch.corrcoef(torch.stack([exact, rough]))[0, 1]) > 0.9


def test_operations_of_a_whole_guided_d16_picture_are_the_published_number() -> None:
    """597 GFLOP (facts about VAR), which counts the two branches of every scale."""
    spec = VARSpec.d16()
    flop = sum(run_flop(spec, 2, first=k, last=k) for k in range(len(spec.scales)))
    flop += 2 * 2 * spec.num_tokens * spec.width * spec.codebook_size
    assert flop == pytest.approx(597e9, rel=0.05)


def test_fewer_positions_cost_less_and_all_of_them_the_same() -> None:
    spec = VARSpec.d16()
    whole = run_flop(spec, 1, first=8, last=9)
    every = [torch.arange(13 * 13), torch.arange(16 * 16)]
    assert run_flop(spec, 1, first=8, last=9, computed=every) == whole
    some = [torch.arange(13), torch.arange(16)]
    assert run_flop(spec, 1, first=8, last=9, computed=some) < whole / 10
    few = torch.arange(4)
    assert 15 / 16 * whole < run_flop(spec, 1, first=8, last=9, rows=few) < whole


def test_a_clock_adds_up_what_it_watches() -> None:
    class Owner:
        def work(self) -> int:
            return 3

    owner, clock = Owner(), Clock()
    clock.watch(owner, "work", "part")
    assert owner.work() + owner.work() == 6
    assert clock.parts["part"] > 0


def test_on_a_gpu_a_part_has_the_time_of_its_own_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls return at once there; waiting for the device takes what it still has to do."""
    now, queued = [0.0], [0.0]

    def synchronize(device: torch.device) -> None:
        assert device == torch.device("cuda:1")
        now[0] += queued[0]
        queued[0] = 0

    class Owner:
        def work(self, seconds: float) -> None:
            queued[0] += seconds

    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
    monkeypatch.setattr(meter.time, "perf_counter", lambda: now[0])
    owner, clock = Owner(), Clock(torch.device("cuda:1"))
    clock.watch(owner, "work", lambda seconds: f"part {seconds}")
    queued[0] = 100  # of what went before
    owner.work(3)
    owner.work(5)
    assert clock.parts == {"part 3": 3, "part 5": 5}
    queued[0] = 7
    assert clock.now() == 115


def test_memory_on_a_gpu_is_that_of_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu, cpu = torch.device("cuda:1"), torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "memory_allocated", {gpu: 5}.get)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", {gpu: 9}.get)
    assert (measuring.held(gpu), measuring.peak(gpu)) == (5, 9)
    assert measuring.peak(cpu) > 0.9 * measuring.held(cpu) > 1_000_000  # the kernel counts apart


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc here")
def test_the_peak_is_of_the_process_itself_and_not_of_the_one_that_started_it() -> None:
    ballast = np.ones(75_000_000)  # 600 MB
    code = "import torch, engine.benchmark.measure as m; print(m.peak(torch.device('cpu')))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=measuring.FOLDER, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert int(done.stdout) < ballast.nbytes


@pytest.mark.gpu
def test_the_bundled_model_is_measured_on_a_gpu() -> None:
    found = measuring.in_own_process(Case("bundled", "ours", True, 1, 0.25, 1, device="cuda"))
    assert "skipped" not in found
    assert sum(found["parts"].values()) < 1.01 * found["seconds"]
    assert 0 < found["peak_mb"] < 2000


@pytest.fixture(scope="module")
def exact() -> dict[str, Any]:
    return measure(Case("bundled", "ours", True, 1, 0.1, 1, mode=EXACT))


def scales(found: dict[str, Any]) -> list[str]:
    """The parts that are a scale, of one that is whole."""
    assert {"encode", "decode", "sampling", "composite"} <= found["parts"].keys()
    assert sum(found["parts"].values()) == pytest.approx(found["seconds"], rel=0.02)
    return [name for name in found["parts"] if name.startswith("scale ")]


def test_the_bundled_model_is_measured(exact: dict[str, Any]) -> None:
    assert "scale 16" in scales(exact)
    assert "exact_seconds" not in exact and "alone" not in exact


@pytest.mark.parametrize("mode", [FAST, REROLL])
def test_every_other_mode_is_measured_too(mode: str, exact: dict[str, Any]) -> None:
    """A re-roll runs the transformer for its finer scales only, the fast mode for few tokens."""
    found = measure(Case("bundled", "ours", True, 1, 0.1, 1, mode=mode))
    drawn = scales(found)
    assert sum(found["flop"].values()) < sum(exact["flop"].values())
    assert found["exact_seconds"] > 0
    assert mode == FAST or len(drawn) < len(scales(exact))


def test_what_the_same_picture_at_any_batch_size_costs_is_said() -> None:
    found = measure(Case("bundled", "ours", True, 2, 0.05, 1))
    alone = found["alone"]
    assert 0 <= alone["by_row"] <= alone["layers"] and alone["together"] > 0 < alone["row_by_row"]
    machine = table.Machine("cpu", "auto", 1e12, 1e10)
    row = table._row({"model": "m", "task": "t", "variations": 2, "mask": 0.05, "mode": EXACT},
                     found, {}, {}, machine)  # fmt: skip
    told = "\n".join(table.lines(row))
    assert (f"{alone['by_row']} of {alone['layers']} matrices" in told) == bool(alone["layers"])


@pytest.mark.parametrize("has_bfloat16", [False, True])
def test_autocast_is_left_out_where_a_processor_emulates_bfloat16(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], has_bfloat16: bool
) -> None:
    run: list[str] = []

    def stand_in(case: Case) -> dict[str, object]:
        run.append(case.implementation)
        return {"skipped": "a test"} if case.implementation == "ours" else {"seconds": 1.0}

    monkeypatch.setattr(table, "in_own_process", stand_in)
    monkeypatch.setattr(table, "cpu_has_bfloat16", lambda: has_bfloat16)
    monkeypatch.setattr(table, "matmul_peak", lambda *_: 1e12)
    monkeypatch.setattr(table, "read_rate", lambda *_: 1e10)
    table.bench(["bundled"], device="cpu", precision="float32", quick=True, as_json=False)
    assert ("plain_autocast" in run) is has_bfloat16
    assert ("autocast is left out" in capsys.readouterr().out) is not has_bfloat16


def test_two_models_in_turn_are_timed_without_the_plain_algorithm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run: list[tuple[str, str]] = []

    def stand_in(case: Case) -> dict[str, object]:
        run.append((case.implementation, case.mode))
        return {"skipped": "a test"}

    monkeypatch.setattr(table, "in_own_process", stand_in)
    monkeypatch.setattr(table, "matmul_peak", lambda *_: 1e12)
    monkeypatch.setattr(table, "read_rate", lambda *_: 1e10)
    table.bench(["d30+d16@8"], device="cpu", precision="float32", quick=True, as_json=False)
    assert set(run) == {("ours", "exact"), ("ours", "reroll")}


def test_what_each_of_two_models_costs_is_counted() -> None:
    """The coarse scales of the first one, and all of them in one run of the second."""
    large, small = VARSpec.official(30), VARSpec.official(16)

    def cost(spec: VARSpec, first: int, last: int) -> float:
        """One run over some scales, and the logits of the last."""
        head = 2 * spec.width * spec.codebook_size * spec.scales[last] ** 2
        return run_flop(spec, 1, first=first, last=last) + head

    whole = sum(cost(large, k, k) for k in range(10))
    for switch in (6, 7, 8, 9):
        pair = sum(cost(large, k, k) for k in range(switch)) + cost(small, 0, switch)
        pair += sum(cost(small, k, k) for k in range(switch + 1, 10))
        assert f"in {pair / whole:.0%} of d30's operations" in BY_NAME[f"code-{switch}"].about


def test_a_scale_alone_costs_no_attention_to_those_before() -> None:
    spec = HMARSpec.official(16)
    head = 2 * spec.width * spec.codebook_size * 256
    assert scale_flop(spec, 1, 9, 256) - head < run_flop(spec, 1, first=9, last=9)
    assert scale_flop(spec, 2, 9, 256) == 2 * scale_flop(spec, 1, 9, 256)
