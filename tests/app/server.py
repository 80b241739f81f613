"""The window on a free port, started as a user would: ``python app.py``."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.weights.saving import save_model
from tests.tiny import LABELS, tiny_var, tiny_vqvae

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 90.0  # seconds; the requirement is 15, a loaded machine may take longer


def save_tiny_model(folder: Path) -> Path:
    """Random weights in our own format, in a folder named "tiny"; a "bowl" is no "owl"."""
    folder = folder / "tiny"
    about = "Random weights, for tests."
    labels = [*LABELS[:3], "bowl", "owl"]
    save_model(folder, tiny_vqvae(), tiny_var(), labels=labels, about=about)
    return folder


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(model: Path | str | None, log: Path, *flags: str) -> Iterator[str]:
    """A running server's address; its output goes to ``log``. Without a model it is a fleet's."""
    port = free_port()
    command = [
        sys.executable, "app.py", "--port", str(port), "--no-browser", *flags,
        *(() if model is None else ("--device", "cpu", "--model", str(model))),
    ]  # fmt: skip
    state = os.environ.get("XDG_STATE_HOME", str(log.parent / "state"))
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "XDG_STATE_HOME": state}
    with log.open("w") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, env=environment
        )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait(url, process, log)
            yield url
        finally:
            process.terminate()
            process.wait(30)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"app.py ended with {process.returncode}:\n{log.read_text()}")
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except urllib.error.HTTPError:
            return  # it answers; a password may be asked for
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"app.py did not serve within {PATIENCE:.0f} s:\n{log.read_text()}")
