"""Whatever is asked of a server at once, its memory stays within what its flag says, beyond that of
a model at work."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.app.server import serving

MEMORY = 0.5  # GB that pictures may take, by --memory
BESIDE = 0.35  # GB that decoders, encoders and threads take beside
LARGE = (4000, 3000)


def peak(log: Path) -> float:
    """GB of memory that the server whose log this is had at most."""
    pid = int(next(log.parent.rglob("pid")).read_text())
    (line,) = [
        each for each in Path(f"/proc/{pid}/status").read_text().splitlines() if "VmHWM" in each
    ]
    return int(line.split()[1]) / 1e6


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
