"""A batch spread over a cluster: the same files as in one process, whoever dies meanwhile."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.house import ROOT
from tests.serving.test_batch import batch, report, some

pytestmark = [
    pytest.mark.ray,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # of Ray's own
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


def command(job: Path, out: Path, model: str, *more: str) -> list[str]:
    return [
        sys.executable, "-m", "engine", "batch", str(job), "-o", str(out), "--model", model,
        "--device", "cpu", "--per-worker-threads", "1", *more,
    ]  # fmt: skip


def workers(batch: int) -> set[int]:
    """Ids of a batch's workers: of those that it began, or who it began."""
    parents, named = {}, set()
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parents[int(path.name)] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if b"ray::Worker" in (path / "cmdline").read_bytes():
                named.add(int(path.name))

    def is_of(number: int) -> bool:
        return number == batch or (number in parents and is_of(parents[number]))

    return {number for number in named if is_of(number)}


def test_a_cluster_makes_the_same_files_though_its_workers_are_killed(
    photos: Path, tmp_path: Path, model: str
) -> None:
    job, alone, spread = some(photos, 16), tmp_path / "alone", tmp_path / "spread"
    with job.open("a") as file:
        file.write('{"image": "none.png", "out": "bad"}\n')
    assert batch(job, alone, model, "--per-worker-threads", "1") == 1
    work = subprocess.Popen(
        command(job, spread, model, "--ray", "local", "--workers", "2", "--json"),
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env={**os.environ, "RAY_worker_niceness": "0",
             "RAY_ADDRESS": "127.0.0.1:1"},  # "local" is none that is there already
    )  # fmt: skip
    killed: set[int] = set()
    while work.poll() is None:
        if len(killed) < 2 and any(spread.glob("*.png")):  # the first of many
            for number in list(workers(work.pid) - killed)[:1]:
                os.kill(number, signal.SIGKILL)
                killed.add(number)
        time.sleep(0.02)
    assert len(killed) == 2 and work.returncode == 1
    assert work.stdout is not None
    summary = json.loads(work.stdout.read())
    assert (summary["done"], summary["failed"]) == (16, 1)
    assert [entry["row"] for entry in report(spread)] == list(range(1, 18))
    names = sorted(each.name for each in alone.iterdir())
    assert sorted(each.name for each in spread.iterdir()) == names
    for name in names:
        if name.endswith(".png"):
            assert (alone / name).read_bytes() == (spread / name).read_bytes(), name


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere"])
def test_a_cluster_that_is_not_there_is_said_so_at_once(
    photos: Path, tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str], address: str
) -> None:
    assert batch(some(photos, 1), tmp_path / "out", model, "--ray", address) == 2
    assert f"error: --ray: no cluster at '{address}'" in capsys.readouterr().err
