"""Fifty clients at once: every answer is its own, refusals are clear, the window answers meanwhile.

    python tests/load.py [--clients 50] [--seconds 300] [--edits N] [--early 500]

A server with a tiny model; clients with mixed tasks, whose answers must be, byte for byte, what the
same request gives alone. Two of them sit at windows: they open a picture, paint, press Run, use the
result and undo. Another window is opened every two seconds meanwhile. It ends after so many seconds
or, if given, edits. At the end: memory after the last edits against that after the first, files
that are left, and the log. With ``--edits`` memory that grew is a fault.
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
from collections.abc import Callable
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
from tests.app.layers import layer
from tests.app.server import save_tiny_model, serving
from tests.pictures import noisy_rgb

DIFFERENT = 40  # requests
LARGE, SMALL = 90, 40  # sides of pictures; small ones where it is many edits that count
SITTING = 2  # clients at windows
SPARSE = 20  # edits for each window that is opened, where it is edits that count
EVERY = 10  # edits between two looks at the memory
GROWN = 1.02  # of what it was: what a look at the memory differs by without any reason


def asked(number: int, largest: int) -> tuple[str, dict[str, Any]]:
    """One of the requests: an endpoint, and what it is asked. ``largest`` is a picture's side."""
    rng = random.Random(number)
    task = ("inpaint", "outpaint", "edit_class", "generate")[number % 4]
    options = {"seed": rng.randrange(2**31), "variations": rng.choice((1, 1, 2, 4))}
    if number % 3 == 0:
        options["detail"] = "model"
    if task == "generate":
        return task, {"label": "bird", "options": options}
    size = (rng.randint(20, largest), rng.randint(20, largest))
    image = noisy_rgb(*size, seed=number)
    mask = Image.new("L", size)
    mask.paste(255, (3, 4, 3 + rng.randint(5, 15), 4 + rng.randint(5, 15)))
    if task == "outpaint":
        return task, {"image": image, "right": rng.randint(1, 30), "options": options}
    label = "boat" if task == "edit_class" else None
    return task, {"image": image, "mask": mask, "label": label, "options": options}


def alone(editor: Editor, number: int, largest: int) -> list[bytes]:
    """What a request gives when nobody else asks."""
    task, given = asked(number, largest)
    result = editor.run(EditRequest(task=task, model=editor.name, **given))
    return [result.png(index) for index in range(len(result.seeds))]


class Load:
    """Clients, what they saw, and what was wrong."""

    def __init__(
        self,
        server: str,
        expected: list[list[bytes]],
        edits: int,
        largest: int,
        resident: Callable[[], float],
    ) -> None:
        self.largest = largest
        self.server, self.url, self.expected = server, f"{server}/gradio_api", expected
        self.edits, self.resident = edits, resident  # how many it is to end after; MB held now
        self.counts: Counter[str] = Counter()
        self.faults: list[str] = []
        self.windows: list[float] = []
        self.waits: list[float] = []
        self.memory: list[tuple[int, float]] = []  # edits, MB
        self.over = threading.Event()
        self._lock = threading.Lock()

    def fault(self, words: str) -> None:
        with self._lock:
            self.faults.append(words)

    def answered(self, began: float) -> None:
        """One more edit came to its end."""
        with self._lock:
            self.waits.append(time.monotonic() - began)
            self.counts["answered"] += 1
            edits = self.counts["answered"]
            if edits % EVERY == 0:
                self.memory.append((edits, self.resident()))
            if edits % 100 == 0:
                print(f"{edits} edits, {self.memory[-1][1]:.0f} MB", flush=True)
            if edits == self.edits:
                self.over.set()

    def held(self, edits: int) -> float:
        """MB in the mean of the ten looks before so many edits."""
        before = [size for number, size in self.memory if number <= edits][-10:]
        return statistics.mean(before) if before else 0.0

    def client(self, seed: int) -> None:
        rng = random.Random(seed)
        with httpx.Client(timeout=120) as http:
            while not self.over.is_set():
                number = rng.randrange(DIFFERENT)
                try:
                    began = time.monotonic()
                    if self.call(http, number):
                        self.answered(began)
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
        task, given = asked(number, self.largest)
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

    def sitter(self, seed: int) -> None:
        """Somebody at a window: one edit after the other, each used and undone."""
        rng = random.Random(seed)
        with httpx.Client(timeout=120) as http:
            at = Page(http, self.server, f"sitter{seed}")
            at.press("load")
            (path,) = http.post(
                f"{self.url}/upload", files={"files": ("a.png", encode_png(noisy_rgb(60, 40)))}
            ).json()
            file = {"path": path, "meta": {"_type": "gradio.FileData"}}
            while not self.over.is_set():
                began = time.monotonic()
                try:
                    if rng.random() < 0.1 or self.counts["sat"] < SITTING:
                        at.press("open.upload", open=file)
                    number = rng.randrange(DIFFERENT)  # few: a model remembers what it drew
                    box = (number % 20, number // 2, 40, 35)
                    at.press("run.click", mask=layer(box), seed=str(number))
                    if "Done" not in str(at.shown.get("status")):
                        self.fault(f"a window's run: {at.shown.get('status')}")
                    self.answered(began)
                    at.press("use-result.click")
                    at.press("undo.click")
                except Exception as error:
                    self.fault(f"somebody at a window: {type(error).__name__}: {error}")
                with self._lock:
                    self.counts["sat"] += 1

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
                if self.edits and self.counts["answered"] < SPARSE * number:
                    number -= 1
                    continue
                began = time.monotonic()
                try:
                    http.get(self.server).raise_for_status()
                    body = {"data": [None], "fn_index": load, "session_hash": f"window{number}"}
                    http.post(f"{self.url}/queue/join", json=body).raise_for_status()
                    news = {"session_hash": f"window{number}"}
                    alive = http.stream("GET", f"{self.url}/heartbeat/window{number}")
                    data = http.stream("GET", f"{self.url}/queue/data", params=news)
                    with alive, data as stream:  # a page that goes is known by the first
                        for line in stream.iter_lines():
                            if "process_completed" in line:
                                break
                    self.windows.append(time.monotonic() - began)
                except Exception as error:
                    self.fault(f"the window: {type(error).__name__}: {error}")


class Page:
    """A window without its page: its events, by the names of the elements. ``shown`` is what the
    last event changed."""

    def __init__(self, http: httpx.Client, server: str, session: str) -> None:
        self._http, self._url, self._session = http, f"{server}/gradio_api", session
        config = http.get(f"{server}/config").json()
        names = {each["id"]: each["props"].get("elem_id") for each in config["components"]}
        self._names = names
        self._values = {each["id"]: each["props"].get("value") for each in config["components"]}
        self._events: dict[str, dict[str, Any]] = {}
        for each in config["dependencies"]:
            for target, how in each["targets"]:
                name = "load" if how == "load" else f"{names.get(target)}.{how}"
                self._events.setdefault(name, each)
        names[self._events["run.click"]["inputs"][1]] = "mask"  # which the page fills in
        self.shown: dict[str, Any] = {}

    def press(self, name: str, **given: Any) -> None:
        """One event, to its end; RuntimeError if it failed."""
        event = self._events[name]
        values = {**given}
        data = [values.get(self._names[each] or "", self._values.get(each))
                for each in event["inputs"]]  # fmt: skip
        body = {"data": data, "fn_index": event["id"], "session_hash": self._session}
        if event["queue"] is False:
            answer = self._http.post(f"{self._url}/run/predict", json=body)
            self._take(event, answer.raise_for_status().json()["data"])
            return
        self._http.post(f"{self._url}/queue/join", json=body).raise_for_status()
        news = {"session_hash": self._session}
        with self._http.stream("GET", f"{self._url}/queue/data", params=news) as stream:
            for line in stream.iter_lines():
                told = json.loads(line.removeprefix("data: ")) if line else {}
                if told.get("msg") in ("process_generating", "process_completed"):
                    if not told["success"]:
                        raise RuntimeError(f"{name}: {told['output']}")
                    if told["msg"] == "process_completed":
                        self._take(event, told["output"].get("data") or [])
                        return

    def _take(self, event: dict[str, Any], data: list[Any]) -> None:
        self.shown = {}
        for each, value in zip(event["outputs"], data, strict=False):
            if isinstance(value, dict) and value.get("__type__") == "update":
                if "value" not in value:
                    continue
                value = value["value"]
            self._values[each] = self.shown[self._names[each] or ""] = value


def _pixels(data: bytes) -> np.ndarray:
    return np.asarray(open_image(data))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--edits", type=int, default=0, help="end after so many")
    parser.add_argument("--early", type=int, default=500, help="edits before memory is looked at")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        (home / "temporary").mkdir()
        os.environ["TMPDIR"] = str(home / "temporary")
        model = save_tiny_model(home)
        editor = load_editor(str(model), device="cpu")
        largest = SMALL if flags.edits else LARGE
        expected = [alone(editor, number, largest) for number in range(DIFFERENT)]
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

            load = Load(server, expected, flags.edits, largest, resident)
            sitting = min(SITTING, flags.clients - 1)
            sitters, others = [load.sitter] * sitting, [load.client] * (flags.clients - sitting)
            threads = [threading.Thread(target=each, args=(seed,))
                       for seed, each in enumerate([*sitters, *others])]  # fmt: skip
            threads.append(threading.Thread(target=load.window))
            began = time.monotonic()
            for each in threads:
                each.start()
            load.over.wait(None if flags.edits else flags.seconds)
            load.over.set()
            for each in threads:
                each.join(150)
            seconds = time.monotonic() - began
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
    early, late = load.held(flags.early), load.held(load.counts["answered"])
    print(f"memory {early:.0f} MB after {flags.early} edits, {late:.0f} MB after "
          f"{load.counts['answered']}")  # fmt: skip
    grown = bool(flags.edits) and late > GROWN * early
    print(f"{len(files)} files of {size:.1f} MB while it ran, {len(left)} left after it ended")
    print("the log:", "Traceback" if "Traceback" in told else "no traceback")
    sys.exit(bool(load.faults or left or grown or "Traceback" in told))


if __name__ == "__main__":
    main()
