"""Whatever is asked of a server at once, its memory stays within what its flag says, beyond that of
a model at work."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.app.server import ROOT, serving

MEMORY = 0.5  # GB that pictures may take, by --memory
BESIDE = 0.35  # GB that decoders, encoders and threads take beside, of a server ...
FEWER = 0.2  # ... and of one window after the other
LARGE = (4000, 3000)


def peak(log: Path) -> float:
    """GB of memory that the server whose log this is had at most."""
    pid = int(next(log.parent.rglob("pid")).read_text())
    (line,) = [
        each for each in Path(f"/proc/{pid}/status").read_text().splitlines() if "VmHWM" in each
    ]
    return int(line.split()[1]) / 1e6


WINDOWS = """
import os, sys
from pathlib import Path
import numpy as np
from PIL import Image
from app import canvas
from app.backend import Local
from app.handlers import Handlers
from app.kept import Kept
from app.limits import GIGABYTE, Limits
from tests.app.visit import a_ticket
from tests.tiny import tiny_editor

folder, limits = Path(sys.argv[1]), Limits(memory=int(float(sys.argv[2]) * GIGABYTE))
models = Local(bounds=limits.edit)
models.add(tiny_editor(), first=True)
kept = Kept(folder / "kept", limits)
do = Handlers(models, limits, None, kept)

def last(screens):
    shown = {}
    for screen in screens:
        shown |= screen
    do.store.put(shown["session"])
    return shown

def peak():
    (line,) = [each for each in open("/proc/self/status") if "VmHWM" in each]
    return int(line.split()[1]) / 1e6

def work(file, times):
    session = last(do.opened({}))["session"]
    session = last(do.open_picture(str(file), "", "inpaint", session))["session"]
    mask = Image.new("L", canvas.proxy_size(session.picture.size))
    mask.paste(255, (300, 300, 420, 400))
    for _ in range(times):
        painted = f"{session.version} " + canvas.as_layer(mask, mask.size)
        ticket = a_ticket()
        session = last(do.runs.run(ticket, painted, session, "inpaint", None, None, seed="1"))
        session = last(do.use("inpaint", "", session["session"]))["session"]

work(folder / "small.png", 1)
rest = peak()
for _ in range(3):
    work(folder / "large.jpg", 1)
kept.flush(60)
print(rest, peak(), do.vault.used / 1e6, flush=True)
os._exit(0)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells a peak")
def test_windows_with_large_pictures_stay_within_the_bound(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (400, 600, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "small.png")
    Image.fromarray(noise).resize(LARGE).save(tmp_path / "large.jpg")
    done = subprocess.run(
        [sys.executable, "-c", WINDOWS, str(tmp_path), str(MEMORY)], cwd=ROOT, text=True,
        capture_output=True, check=False, timeout=500,
        env={**os.environ, "GRADIO_TEMP_DIR": str(tmp_path / "g"), "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rest, most, history = map(float, done.stdout.split()[-3:])
    assert most < rest + MEMORY + FEWER
    assert history < 1000 * MEMORY / 4 * 1.1, "histories have a quarter of it"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells a peak")
def test_many_large_pictures_at_once_stay_within_the_bound(
    tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    noise = np.random.default_rng(1).integers(0, 255, (300, 400, 3), np.uint8)
    large, tall = io.BytesIO(), io.BytesIO()
    Image.fromarray(noise).resize(LARGE).save(large, "JPEG")
    Image.new("L", (1, 40_000_000)).save(tall, "PNG")
    mask = Image.new("1", LARGE)
    mask.paste(1, (50, 50, 200, 200))
    painted = io.BytesIO()
    mask.save(painted, "PNG")
    answers: list[str] = []
    with serving(tiny_model_folder, tmp_path / "log.txt", "--memory", str(MEMORY)) as server:
        url = f"{server}/gradio_api"

        def uploaded(data: io.BytesIO, name: str) -> dict[str, Any]:
            sent = httpx.post(f"{url}/upload", files={"files": (name, data.getvalue())}, timeout=60)
            return {"path": sent.json()[0], "meta": {"_type": "gradio.FileData"}}

        def call(name: str, *data: Any) -> None:
            asked = httpx.post(f"{url}/call/{name}", json={"data": data}, timeout=60).json()
            stream = httpx.get(f"{url}/call/{name}/{asked['event_id']}", timeout=240).text
            answers.append(stream.strip().split("\n\n")[-1])

        photo, hole, tower = (
            uploaded(large, "a.jpg"), uploaded(painted, "m.png"), uploaded(tall, "t.png")
        )  # fmt: skip
        call("generate", "1", {"seed": 1}, None)
        rest = peak(tmp_path / "log.txt")
        jobs = [("inpaint", photo, hole, None, {"seed": 1}, None)] * 3
        jobs += [("inpaint", tower, tower, None, {"seed": 1}, None)] * 2
        jobs += [("outpaint", photo, 9, 0, 0, 0, None, {"seed": 1, "variations": 16}, None)]
        threads = [threading.Thread(target=call, args=job) for job in jobs]
        for each in threads:
            each.start()
        for each in threads:
            each.join(240)
        assert peak(tmp_path / "log.txt") < rest + MEMORY + BESIDE
    told = sorted(each.split("\n")[0] for each in answers)
    assert told == ["event: complete"] * 4 + ["event: error"] * 3, answers
    assert sum("for a side" in each for each in answers) == 2
    assert sum("is the bound" in each for each in answers) == 1
