"""A service under load while its replicas and its door die (`tests/fleet.py service`)."""

from __future__ import annotations

import base64
import json
import os
import random
import signal
import statistics
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

from tests.fleet import manifest
from tests.serving.fleet import cluster, processes, processes_of
from tests.serving.fleet import service as serving

DIFFERENT = 40  # requests; the clients take them in turns
HANGS = 240.0  # seconds after which an answer is no answer


class Load:
    """Clients that ask for edits whose pictures are known, and what they got."""

    def __init__(self, url: str, asked: list[dict[str, Any]], expected: list[list[bytes]]) -> None:
        self.url, self.asked, self.expected = url, asked, expected
        self.over = threading.Event()
        self.faults: list[str] = []
        self.counts: Counter[str] = Counter()
        self.waits: list[float] = []

    def client(self, seed: int) -> None:
        chance = random.Random(seed)
        with httpx.Client(timeout=HANGS) as http:
            while not self.over.is_set():
                number = chance.randrange(len(self.asked))
                began = time.monotonic()
                try:
                    answer = http.post(**self.asked[number])
                except Exception as error:
                    self.faults.append(f"{type(error).__name__}: {error}")
                    continue
                kind = str(answer.status_code)
                self.counts[kind] += 1
                if answer.status_code == 200:
                    self.waits.append(time.monotonic() - began)
                    made = [base64.b64decode(each) for each in answer.json()["images"]]
                    if made != self.expected[number]:
                        self.faults.append(f"request {number}: the bytes of another")
                elif answer.status_code == 503 and answer.headers.get("retry-after"):
                    self.over.wait(chance.random() * 2)
                else:
                    self.faults.append(f"status {kind}: {answer.text[:200]}")


def requests(url: str, job: Path) -> list[dict[str, Any]]:
    """The rows of a manifest as what a client posts."""
    asked = []
    for line in job.read_text().splitlines():
        said = json.loads(line)
        files = [
            (name, (said[name], (job.parent / said[name]).read_bytes()))
            for name in ("image", "mask") if name in said
        ]  # fmt: skip
        data = {name: said[name] for name in ("label", "right") if name in said}
        data["options"] = json.dumps(said["options"])
        asked.append({"url": f"{url}/{said['task']}", "files": files or None, "data": data})
    return asked


def loaded(
    folder: Path, model: str, label: str, clients: int, seconds: float, every: float
) -> list[str]:
    """What is wrong with a service of two replicas under so many clients."""
    job = manifest(folder, DIFFERENT, label)
    flags = ("--model", model, "--device", "cpu", "--min", "2", "--max", "2", "--waiting", "40")
    with (
        cluster(2) as nodes,
        serving(nodes.address, folder / "service.txt", *flags) as url,
    ):
        asked = requests(url, job)
        expected = []
        for each in asked:  # the request alone
            answer = httpx.post(**each, timeout=HANGS)
            expected.append([base64.b64decode(image) for image in answer.json()["images"]])
        load = Load(url, asked, expected)
        threads = [threading.Thread(target=load.client, args=(n,)) for n in range(clients)]
        for each in threads:
            each.start()
        killed, chance, end = Counter[str](), random.Random(2), time.monotonic() + seconds
        while time.monotonic() < end:
            load.over.wait(every)
            kind = "Door" if sum(killed.values()) % 3 == 2 else "Replica"
            there = sorted(_named(kind) & processes_of(nodes.address))
            if there:
                os.kill(chance.choice(there), signal.SIGKILL)
                killed[kind] += 1
        load.over.set()
        for each in threads:
            each.join(HANGS + 10)
        hanging = sum(each.is_alive() for each in threads)
    waits = sorted(load.waits) or [0.0]
    print(f"{clients} clients, {seconds:.0f} s, killed: {dict(killed)}")
    print(f"answers by status: {dict(load.counts)}")
    print(f"an answer takes {statistics.median(waits):.1f} s, {waits[-1]:.1f} s at most")
    if hanging or len(killed) < 2 or not load.waits:
        load.faults.append(f"{hanging} clients hang, {dict(killed)} were killed")
    return load.faults


def _named(kind: str) -> set[int]:
    return processes(f"ray::ServeReplica:varpaint:{kind}")
