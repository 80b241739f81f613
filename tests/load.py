"""Fifty clients at once: every answer is its own, refusals are clear, the window answers meanwhile.

    python tests/load.py [--clients 50] [--seconds 300] [--early 500]

A server with a tiny model; clients with mixed tasks, whose answers must be, byte for byte, what the
same request gives alone. A window is opened every two seconds meanwhile. At the end: memory after
the last edits against that after the first, files that are left, and the log.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import httpx
import numpy as np
from PIL import Image

from engine import load_editor
from engine.editor import Editor
from engine.picture.files import encode_png, open_image
from engine.request import EditRequest
from tests.app.server import save_tiny_model, serving
from tests.pictures import noisy_rgb

DIFFERENT = 40  # requests


def asked(number: int) -> tuple[str, dict[str, Any]]:
    """One of the requests: an endpoint, and what it is asked."""
    rng = random.Random(number)
    task = ("inpaint", "outpaint", "edit_class", "generate")[number % 4]
    options = {"seed": rng.randrange(2**31), "variations": rng.choice((1, 1, 2, 4))}
    if number % 3 == 0:
        options["detail"] = "model"
    if task == "generate":
        return task, {"label": "bird", "options": options}
    size = (rng.randint(20, 90), rng.randint(20, 90))
    image = noisy_rgb(*size, seed=number)
    mask = Image.new("L", size)
    mask.paste(255, (3, 4, 3 + rng.randint(5, 15), 4 + rng.randint(5, 15)))
    if task == "outpaint":
        return task, {"image": image, "right": rng.randint(1, 30), "options": options}
    label = "boat" if task == "edit_class" else None
    return task, {"image": image, "mask": mask, "label": label, "options": options}


def alone(editor: Editor, number: int) -> list[bytes]:
    """What a request gives when nobody else asks."""
    task, given = asked(number)
    result = editor.run(EditRequest(task=task, model=editor.name, **given))
    return [result.png(index) for index in range(len(result.seeds))]


class Load:
    """Clients, what they saw, and what was wrong."""

    def __init__(self, server: str, expected: list[list[bytes]], soon: int) -> None:
        self.server, self.url, self.expected = server, f"{server}/gradio_api", expected
        self.soon = soon  # edits after which memory is looked at first
        self.counts: Counter[str] = Counter()
        self.faults: list[str] = []
        self.windows: list[float] = []
        self.waits: list[float] = []
        self.early = 0.0
        self.over = threading.Event()
        self._lock = threading.Lock()

    def fault(self, words: str) -> None:
        with self._lock:
            self.faults.append(words)

    def client(self, seed: int, resident: Any) -> None:
        rng = random.Random(seed)
        with httpx.Client(timeout=120) as http:
            while not self.over.is_set():
                number = rng.randrange(DIFFERENT)
                try:
                    began = time.monotonic()
                    if self.call(http, number):
                        with self._lock:
                            self.waits.append(time.monotonic() - began)
                            self.counts["answered"] += 1
                            if self.counts["answered"] == self.soon:
                                self.early = resident()
                    else:
                        self.over.wait(rng.uniform(0.2, 1.5))
                except Exception as error:
                    self.fault(f"request {number}: {type(error).__name__}: {error}")

    def upload(self, http: httpx.Client, image: Image.Image) -> dict[str, Any]:
        files = {"files": ("picture.png", encode_png(image))}
        (path,) = http.post(f"{self.url}/upload", files=files).json()
        return {"path": path, "meta": {"_type": "gradio.FileData"}}

    def call(self, http: httpx.Client, number: int) -> bool:
        """One request; False if it was refused for now."""
        task, given = asked(number)
        image, mask = (
            self.upload(http, given[name]) if name in given else None for name in ("image", "mask")
        )
        options, label = given["options"], given.get("label")
        data = {
            "inpaint": [image, mask, label, options, None],
            "outpaint": [image, 0, given.get("right"), 0, 0, label, options, None],
            "edit_class": [image, mask, label, options, None, None, None],
            "generate": [label, options, None],
        }[task]
        posted = http.post(f"{self.url}/call/{task}", json={"data": data})
        if posted.status_code == 503:
            if "try again" not in posted.text or not posted.headers.get("retry-after"):
                self.fault(f"an unclear refusal: {posted.text}")
            with self._lock:
                self.counts["refused"] += 1
            return False
        event = posted.json()["event_id"]
        stream = http.get(f"{self.url}/call/{task}/{event}").text
        kind, _, told = stream.strip().split("\n\n")[-1].partition("\ndata: ")
        if kind != "event: complete":
            self.fault(f"request {number}: {stream[-300:]}")
            return True
        made, report = json.loads(told)
        got = [http.get(file["url"].replace(" ", "%20")).content for file in made]
        if got != self.expected[number]:
            same = [np.array_equal(_pixels(a), _pixels(b))
                    for a, b in zip(got, self.expected[number], strict=True)]  # fmt: skip
            self.fault(f"request {number} ({task}): other bytes; pixels the same: {same}")
        if report["seeds"][0] != options["seed"]:
            self.fault(f"request {number}: the seeds of another")
        return True

    def window(self) -> None:
        """A page, as a browser opens it, every two seconds."""
        with httpx.Client(timeout=60) as http:
            config = http.get(f"{self.server}/config").json()
            load = next(
                each["id"] for each in config["dependencies"]
                if "load" in [how for _, how in each["targets"]]
            )  # fmt: skip
            number = 0
            while not self.over.wait(2):
                number += 1
                began = time.monotonic()
                try:
                    http.get(self.server).raise_for_status()
                    body = {"data": [None], "fn_index": load, "session_hash": f"window{number}"}
                    http.post(f"{self.url}/queue/join", json=body).raise_for_status()
                    news = {"session_hash": f"window{number}"}
                    with http.stream("GET", f"{self.url}/queue/data", params=news) as stream:
                        for line in stream.iter_lines():
                            if "process_completed" in line:
                                break
                    self.windows.append(time.monotonic() - began)
                except Exception as error:
                    self.fault(f"the window: {type(error).__name__}: {error}")


def _pixels(data: bytes) -> np.ndarray:
    return np.asarray(open_image(data))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--early", type=int, default=500, help="edits before memory is looked at")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        (home / "temporary").mkdir()
        os.environ["TMPDIR"] = str(home / "temporary")
        model = save_tiny_model(home)
        editor = load_editor(str(model), device="cpu")
        expected = [alone(editor, number) for number in range(DIFFERENT)]
        log = home / "log.txt"
        with serving(model, log) as server:
            (folder,) = (home / "temporary").iterdir()
            pid = int((folder / "pid").read_text())

            def resident() -> float:
                (line,) = [
                    each for each in Path(f"/proc/{pid}/status").read_text().splitlines()
                    if each.startswith("VmRSS:")
                ]  # fmt: skip
                return int(line.split()[1]) / 1000

            load = Load(server, expected, flags.early)
            threads = [threading.Thread(target=load.client, args=(seed, resident))
                       for seed in range(flags.clients)]  # fmt: skip
            threads.append(threading.Thread(target=load.window))
            began = time.monotonic()
            for each in threads:
                each.start()
            load.over.wait(flags.seconds)
            load.over.set()
            for each in threads:
                each.join(150)
            seconds = time.monotonic() - began
            late = resident()
            files = [path for path in folder.rglob("*") if path.is_file()]
            size = sum(path.stat().st_size for path in files) / 1e6
        left = list((home / "temporary").iterdir())
        told = log.read_text()
    for fault in load.faults[:20]:
        print(fault)
    waits, windows = sorted(load.waits) or [0.0], load.windows or [0.0]
    print(f"{flags.clients} clients, {seconds:.0f} s: {dict(load.counts)}, "
          f"{len(load.faults)} faults")  # fmt: skip
    print(f"an answer takes {statistics.median(waits):.1f} s, {waits[-1]:.1f} s at most")
    print(f"a window opens in {statistics.median(windows):.2f} s, {max(windows):.2f} s at most, "
          f"{len(windows)} times")  # fmt: skip
    print(f"memory {load.early:.0f} MB after {flags.early} edits, {late:.0f} MB after "
          f"{load.counts['answered']}")  # fmt: skip
    print(f"{len(files)} files of {size:.1f} MB while it ran, {len(left)} left after it ended")
    print("the log:", "Traceback" if "Traceback" in told else "no traceback")
    sys.exit(bool(load.faults or left or "Traceback" in told))


if __name__ == "__main__":
    main()
