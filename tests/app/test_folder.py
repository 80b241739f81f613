"""The server's own folder: private, gone with it, and swept by the next one if it was killed."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from gradio_client import Client

from app import folder
from app.folder import PREFIX, Folder, sweep, tidy
from tests.app.server import ROOT, save_tiny_model, serving

HOLDER = (
    "import sys, time; from app.folder import Folder; f = Folder(); f.use(); "
    "(f.cache / 'mine.png').write_text('x'); print(f.path, flush=True); time.sleep(60)"
)


@contextmanager
def holder(temporary: Path) -> Iterator[Path]:
    """The folder of a process that holds it, and is killed at the end."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER], cwd=ROOT, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        try:
            yield Path(process.stdout.readline().strip())
        finally:
            process.kill()


def test_nobody_else_can_look_into_it(tmp_path: Path) -> None:
    with holder(tmp_path) as mine:
        assert stat.S_IMODE(mine.stat().st_mode) == 0o700


def test_what_a_killed_server_left_is_swept_and_that_of_a_living_one_is_not(
    tmp_path: Path,
) -> None:
    with holder(tmp_path) as left:
        assert left.exists()
    with holder(tmp_path) as kept:  # which sweeps, too
        assert not left.exists()
        (tmp_path / f"{PREFIX}file").write_text("a file of somebody else's")
        other = tmp_path / "other"
        other.mkdir()
        (tmp_path / f"{PREFIX}link").symlink_to(other)
        (tmp_path / f"{PREFIX}young").mkdir()
        sweep(tmp_path)
        assert (kept / "files" / "mine.png").exists()
        assert other.exists() and (tmp_path / f"{PREFIX}link").exists()
        assert (tmp_path / f"{PREFIX}young").exists(), "its maker has not locked it yet"


def test_old_files_go_and_the_oldest_beyond_the_bound_but_none_that_is_being_fetched(
    tmp_path: Path,
) -> None:
    now = time.time()
    for age, name in ((9000, "old"), (500, "large"), (400, "next"), (5, "fresh")):
        path = tmp_path / name / "picture.png"
        path.parent.mkdir()
        path.write_bytes(bytes(1000))
        os.utime(path, (now - age, now - age))

    def ages(path: Path) -> list[str]:
        return sorted(each.parent.name for each in path.rglob("*.png"))

    tidy(tmp_path, 3000)
    assert ages(tmp_path) == ["fresh", "large", "next"]
    for age, name in ((150, "cut"), (50, "under way")):
        (tmp_path / f"{name}.part").touch()
        os.utime(tmp_path / f"{name}.part", (now - age, now - age))
    tidy(tmp_path, 2000)
    assert [path.stem for path in tmp_path.glob("*.part")] == ["under way"]
    assert ages(tmp_path) == ["fresh", "next"]
    tidy(tmp_path, 0)
    assert ages(tmp_path) == ["fresh"]
    assert not (tmp_path / "old").exists(), "empty folders go too"


def test_it_is_locked_while_it_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder.tempfile, "gettempdir", lambda: str(tmp_path))
    mine = Folder()
    sweep(tmp_path)
    assert mine.path.exists()
    mine.remove()
    assert not list(tmp_path.iterdir())


def state_of(number: int) -> str:
    """One letter for what a process is at: see proc(5)."""
    return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_whatever_ends_a_server_its_pictures_do_not_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: signal.Signals
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    log = tmp_path / "log.txt"
    with serving(save_tiny_model(tmp_path), log) as url:
        client = Client(url, verbose=False, download_files=False)
        client.predict("1", {"seed": 1}, None, api_name="/generate")
        client.close()
        (mine,) = temporary.iterdir()
        assert stat.S_IMODE(mine.stat().st_mode) == 0o700
        pictures = [path for path in temporary.rglob("*.png") if path.is_file()]
        assert pictures and all(path.is_relative_to(mine) for path in pictures)
        number = int((mine / "pid").read_text())
        os.kill(number, how)
        end = time.monotonic() + 30
        while state_of(number) != "Z" and time.monotonic() < end:  # it waits to be collected
            time.sleep(0.02)
    if how == signal.SIGKILL:
        assert list(temporary.iterdir()), "a killed one cannot tidy up: the next one does"
        sweep(temporary)
    assert not list(temporary.iterdir())
    assert "terminate" not in log.read_text() and "Traceback" not in log.read_text()
