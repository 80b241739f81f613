"""A cluster on this machine, and a service on it, as their users begin them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.app.server import free_port
from tests.house import ROOT

PATIENCE = 420.0  # seconds for replicas to load, on a busy machine


@contextmanager
def cluster(*cores: int) -> Iterator[Any]:
    """Ray's own cluster of several nodes, each with so many cores, as processes of this machine.
    What its nodes leave behind goes with it. Its workers have the rank of any process: Ray would
    have them give way to whatever else runs (niceness 15), which is not to be measured."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")
    import ray
    from ray.cluster_utils import Cluster

    folder = tempfile.mkdtemp(prefix="rv")  # short: a socket's path may not be long
    head, *others = cores
    made = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": head, "temp_dir": folder, "gcs_server_port": free_port(),
                        "include_dashboard": False, "object_store_memory": 200_000_000},
    )  # fmt: skip
    try:
        for number in others:
            made.add_node(num_cpus=number, object_store_memory=200_000_000)
        yield made
    finally:
        ray.shutdown()  # whoever connected here
        made.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def service(address: str, log: Path, *flags: str) -> Iterator[str]:
    """``python -m engine serve`` on a cluster; its address. Output goes to ``log``."""
    port = free_port()
    command = [
        sys.executable, "-m", "engine", "serve", "--ray", address, "--port", str(port), *flags,
    ]  # fmt: skip
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
    try:
        end = time.monotonic() + PATIENCE
        while " answers" not in log.read_text():
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"no service ({process.returncode}):\n{log.read_text()}")
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def processes(named: str) -> set[int]:
    """Ids of the processes of this machine whose command line has that in it."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if named.encode() in (folder / "cmdline").read_bytes():
                found.add(int(folder.name))
    return found


def processes_of(address: str) -> set[int]:
    """Those whose environment or command line names a cluster."""
    port = address.rpartition(":")[2]
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f":{port}".encode() in (folder / "environ").read_bytes():
                found.add(int(folder.name))
                continue
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if f":{port}".encode() in Path(f"/proc/{parent}/cmdline").read_bytes():
                found.add(int(folder.name))
        except (OSError, ValueError):
            continue
    return found
