"""Batches and services under loss: what a cluster makes is what one process makes.

    python tests/fleet.py batch [--edits 2000]       workers killed every 20 s, a node once
    python tests/fleet.py overhead [--edits 200]     a cluster's rate a core, against one process's
    python tests/fleet.py start                      when a batch and the benchmark begin
    python tests/fleet.py interrupted [--times 20]   a batch that is ended at random moments
    python tests/fleet.py service [--seconds 180]    50 clients while replicas are killed
    python tests/fleet.py scaling [--rows 1000000]   what the parts take, and where the rate bends

The edits are of all tasks and of pictures of 64 to 256 pixels; ``--model tiny`` takes a model with
random weights for the bundled one. It ends with status 1 if anything is lost, doubled or different.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

from tests.app.server import save_tiny_model  # noqa: E402
from tests.serving.fleet import cluster, processes, processes_of  # noqa: E402

EVERY = 20.0  # seconds between two kills
PICTURES = 24
LABEL = "bird"


def manifest(folder: Path, edits: int, label: str) -> Path:
    """Rows of all tasks, of pictures of mixed sizes; edits of one picture follow each other."""
    rng = np.random.default_rng(1)
    sides = [(int(w), int(h)) for w, h in rng.integers(64, 257, (PICTURES, 2))]
    for number, (width, height) in enumerate(sides):
        small = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(small).resize((width, height)).save(folder / f"{number}.png")
        mask = Image.new("L", (width, height))
        mask.paste(255, (width // 4, height // 4, width // 2, height // 2 + 8))
        mask.save(folder / f"{number}.mask.png")
    tasks: list[dict[str, Any]] = [
        {"task": "inpaint"}, {"task": "outpaint", "right": "25%"},
        {"task": "edit_class", "label": label}, {"task": "inpaint", "label": label},
        {"task": "generate", "label": label},
    ]  # fmt: skip
    path = folder / "job.jsonl"
    with path.open("w") as file:
        for row in range(edits):
            said = dict(tasks[row % len(tasks)], out=f"e{row:05}")
            picture = row * PICTURES // edits
            if said["task"] != "generate":
                said["image"] = f"{picture}.png"
            if said["task"] in ("inpaint", "edit_class"):
                said["mask"] = f"{picture}.mask.png"
            said["options"] = {"seed": row, "speed": ("exact", "fast")[row // 5 % 2]}
            file.write(json.dumps(said) + "\n")
    return path


def command(job: Path, out: Path, model: str, *more: str) -> list[str]:
    return [
        sys.executable, "-m", "engine", "batch", str(job), "-o", str(out), "--model", model,
        "--device", "cpu", "--per-worker-threads", "1", *more,
    ]  # fmt: skip


def begun(*given: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command(*given), cwd=ROOT, stdout=subprocess.DEVNULL)


def lines(out: Path) -> int:
    path = out / "report.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def same(alone: Path, other: Path, edits: int) -> list[str]:
    """What is wrong with a batch, against the one that one process made."""
    faults = []
    rows = [json.loads(line)["row"] for line in (other / "report.jsonl").read_text().splitlines()]
    if rows != list(range(1, edits + 1)):
        faults.append(f"rows: {len(rows)} lines of {len(set(rows))} rows, expected {edits}")
    names = [sorted(path.name for path in folder.iterdir()) for folder in (alone, other)]
    if names[0] != names[1]:
        faults.append(f"files: {sorted(set(names[0]) ^ set(names[1]))[:5]}")
    pictures = [name for name in names[0] if name.endswith(".png")]
    different = [
        name for name in pictures
        if not (other / name).exists()
        or (alone / name).read_bytes() != (other / name).read_bytes()
    ]  # fmt: skip
    if different:
        faults.append(f"{len(different)} files of other bytes: {different[:5]}")
    print(f"{len(pictures)} pictures compared, {len(rows)} rows reported, {len(faults)} faults")
    return faults


def workers(address: str) -> list[int]:
    """Ids of the processes that hold a batch's workers on that cluster."""
    return sorted(processes("ray::Worker") & processes_of(address))


def batch(folder: Path, model: str, label: str, flags: argparse.Namespace) -> list[str]:
    edits = flags.edits
    job, alone, spread = manifest(folder, edits, label), folder / "alone", folder / "spread"
    began = time.monotonic()
    if begun(job, alone, model).wait():
        return ["one process failed"]
    print(f"one process: {edits} edits in {time.monotonic() - began:.0f} s", flush=True)
    with cluster(1, 1) as nodes:
        began = last = time.monotonic()
        work = begun(job, spread, model, "--ray", nodes.address)
        killed, lost, chance = 0, False, random.Random(3)
        while work.poll() is None:
            time.sleep(0.5)
            if not lost and lines(spread) > edits // 3:
                nodes.remove_node(next(iter(nodes.worker_nodes)), allow_graceful=False)
                print(f"a node lost after {lines(spread)} edits", flush=True)
                nodes.add_node(num_cpus=1, object_store_memory=200_000_000)
                lost = True
            if lines(spread) and time.monotonic() - last > flags.every:
                last = time.monotonic()
                there = workers(nodes.address)
                if there:
                    os.kill(chance.choice(there), signal.SIGKILL)
                    killed += 1
        print(f"two nodes: {edits} edits in {time.monotonic() - began:.0f} s, status "
              f"{work.returncode}, {killed} workers killed, a node lost: {lost}")  # fmt: skip
    faults = same(alone, spread, edits)
    if work.returncode or not killed or not lost:
        faults.append("it failed, or nothing was killed")
    return faults


def overhead(folder: Path, model: str, label: str, flags: argparse.Namespace) -> list[str]:
    """Batches of so many edits in one process, and on one core of a cluster, in turn."""
    job, rates = manifest(folder, flags.edits, label), {}
    with cluster(1) as nodes:
        for turn in range(2):
            for name, more in (("one process", ()), ("cluster", ("--ray", nodes.address))):
                out = folder / f"{name}{turn}"
                began = time.monotonic()
                work, first = begun(job, out, model, *more), 0.0
                while work.poll() is None:
                    time.sleep(0.02)
                    first = first or (time.monotonic() - began if lines(out) else 0.0)
                seconds = time.monotonic() - began
                rates.setdefault(name, []).append(flags.edits / seconds)
                entries = (out / "report.jsonl").read_text().splitlines()
                inside = sum(json.loads(line)["seconds"] for line in entries)
                print(f"{name}: {seconds:.1f} s, the first edit after {first:.1f} s, "
                      f"{inside:.1f} s of them in edits", flush=True)  # fmt: skip
    share = sum(rates["cluster"]) / sum(rates["one process"])
    print(f"a core of a cluster does {share:.2f} of what one process does, start and all")
    return [] if share >= 0.85 else [f"{share:.2f} is less than 0.85"]


def opened(command: list[str], file: Path) -> tuple[subprocess.Popen[bytes], float]:
    """A command that was begun, and after how many seconds it opened a file (Linux only)."""
    libc, opens = ctypes.CDLL("libc.so.6"), 0x20
    watch = libc.inotify_init1(0)
    libc.inotify_add_watch(watch, os.fsencode(file), opens)
    began = time.monotonic()
    work = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    os.read(watch, 4096)
    os.close(watch)
    return work, time.monotonic() - began


def start(folder: Path, model: str, label: str, flags: argparse.Namespace) -> list[str]:
    """A batch of 20 against the benchmark: when each has opened the bundled model's weights."""
    job, faults = manifest(folder, 20, label), []
    engine, weights = [sys.executable, "-m", "engine"], ROOT / "weights/bundled/var.safetensors"
    for turn in range(5):
        out, before = folder / f"out{turn}", time.monotonic()
        work, batch = opened([*engine, "batch", str(job), "-o", str(out)], weights)
        while not lines(out):
            time.sleep(0.005)
        first = time.monotonic() - before
        os.killpg(work.pid, signal.SIGKILL)
        work.wait()
        work, bench = opened([*engine, "bench", "--models", "bundled", "--quick"], weights)
        os.killpg(work.pid, signal.SIGKILL)
        work.wait()
        print(f"a batch opens its weights after {batch:.2f} s, has done an edit after {first:.2f}; "
              f"the benchmark opens them after {bench:.2f}", flush=True)  # fmt: skip
        if batch > bench + 2:
            faults.append(f"a batch began {batch - bench:.2f} s later than the benchmark")
    return faults


def interrupted(folder: Path, model: str, label: str, flags: argparse.Namespace) -> list[str]:
    job, alone, out = manifest(folder, flags.edits, label), folder / "alone", folder / "out"
    if begun(job, alone, model).wait():
        return ["one process failed"]
    chance, kinds = random.Random(5), (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
    for number in range(flags.times):
        before, target = lines(out), (number + 1) * flags.edits // (flags.times + 1)
        work = begun(job, out, model)
        while work.poll() is None and lines(out) < target:
            time.sleep(0.005)
        time.sleep(chance.random() * 0.3)
        kind = kinds[number % 3]
        work.send_signal(kind)
        status = work.wait()
        left = [path.name for path in out.iterdir() if not path.name.startswith(("e", "report"))
                and path.name != ".batch.lock"]  # fmt: skip
        print(f"{kind.name} after {lines(out)} rows (before: {before}): status {status}, "
              f"left behind: {left}", flush=True)  # fmt: skip
        for path in out.glob("*.png"):
            Image.open(path).load()
    if begun(job, out, model).wait():
        return ["the last one failed"]
    return same(alone, out, flags.edits)


def service(folder: Path, model: str, label: str, flags: argparse.Namespace) -> list[str]:
    from tests.service_load import loaded

    return loaded(folder, model, label, flags.clients, flags.seconds, flags.every)


def scaling(folder: Path, model: str, label: str, flags: argparse.Namespace) -> list[str]:
    from tests.scaling import measured

    return measured(folder, model, manifest(folder, 40, label), flags.rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    kinds = {
        each.__name__: each for each in (batch, overhead, start, interrupted, service, scaling)
    }
    parser.add_argument("kind", choices=kinds)
    parser.add_argument("--edits", type=int)
    parser.add_argument("--every", type=float, default=EVERY, help="seconds between two kills")
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=180)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--model", choices=("bundled", "tiny"), default="bundled")
    flags = parser.parse_args()
    flags.edits = flags.edits or {"batch": 2000, "overhead": 200}.get(flags.kind, 200)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = "bundled" if flags.model == "bundled" else str(save_tiny_model(folder))
        faults = kinds[flags.kind](folder, model, LABEL, flags)
    for fault in faults:
        print("FAULT:", fault)
    print("all is well" if not faults else f"{len(faults)} faults")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
