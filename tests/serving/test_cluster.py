"""A batch spread over a cluster: the same files as in one process, whoever dies meanwhile."""

from __future__ import annotations

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


def processes(name: str) -> set[int]:
    """Ids of the processes whose command line holds a name."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if name in path.read_bytes().decode(errors="replace"):
                found.add(int(path.parent.name))
        except OSError:
            continue
    return found


def test_a_cluster_makes_the_same_files_though_its_workers_are_killed(
    photos: Path, tmp_path: Path, model: str
) -> None:
    job, alone, spread = some(photos, 40), tmp_path / "alone", tmp_path / "spread"
    with job.open("a") as file:
        file.write('{"image": "none.png", "out": "bad"}\n')
    assert batch(job, alone, model, "--per-worker-threads", "1") == 1
    before = processes("ray::Worker")
    work = subprocess.Popen(
        command(job, spread, model, "--ray", "local", "--workers", "2", "--json"),
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    killed, path = 0, spread / "report.jsonl"
    while work.poll() is None:
        if path.exists() and path.stat().st_size > 0 and killed < 2:
            for number in list(processes("ray::Worker") - before)[:1]:
                os.kill(number, signal.SIGKILL)
                killed += 1
        time.sleep(0.2)
    assert killed == 2 and work.returncode == 1
    assert work.stdout is not None
    summary = json.loads(work.stdout.read())
    assert (summary["done"], summary["failed"]) == (40, 1)
    assert [entry["row"] for entry in report(spread)] == list(range(1, 42))
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
