"""Files are whole or as they were, whatever happens meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from engine.errors import RequestError
from engine.picture import saving
from engine.picture.saving import whole, write_whole


def listed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(params=["nameless", "named"])
def how(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With a file that has no name until it is whole, as on Linux, and without."""
    if request.param == "named":
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    return str(request.param)


def test_a_file_is_written_and_replaced(tmp_path: Path, how: str) -> None:
    path = tmp_path / "a.png"
    write_whole(path, b"one")
    write_whole(path, b"two")
    assert path.read_bytes() == b"two" and listed(tmp_path) == ["a.png"]


def broken_off(path: Path, error: BaseException) -> None:
    with whole(path) as file:
        file.write(b"new")
        raise error


def test_what_breaks_off_leaves_the_old_file_and_nothing_else(tmp_path: Path, how: str) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    for error in (OSError("full"), KeyboardInterrupt(), ValueError()):
        with pytest.raises(type(error)):
            broken_off(path, error)
        assert path.read_bytes() == b"old" and listed(tmp_path) == ["a.png"]


def test_permissions_and_links_stay(tmp_path: Path, how: str) -> None:
    path, link = tmp_path / "a.png", tmp_path / "link.png"
    path.write_bytes(b"old")
    path.chmod(0o640)
    link.symlink_to(path)
    write_whole(link, b"new")
    assert link.is_symlink() and path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o640
    other = tmp_path / "b.png"
    write_whole(other, b"")
    (tmp_path / "c.png").write_bytes(b"")
    assert other.stat().st_mode == (tmp_path / "c.png").stat().st_mode


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )


FULL = """
import resource, sys
from engine.errors import RequestError
from engine.picture.saving import write_whole
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_whole(sys.argv[1], b"x" * 5000)
except RequestError as error:
    print(error)
"""


def test_a_full_disk_is_told_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    done = run(FULL, str(path))
    assert done.stdout.count("\n") == 1 and "cannot be written" in done.stdout
    assert path.read_bytes() == b"old" and listed(tmp_path) == ["a.png"]


KILLED = """
import sys, time
from engine.picture.saving import whole
with whole(sys.argv[1]) as file:
    file.write(b"new" * 100)
    file.flush()
    print("ready", flush=True)
    time.sleep(60)
"""


IGNORED = (signal.SIGHUP, signal.SIGINT)  # by what began these tests, if that was in the background


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="only Linux has files without a name")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGHUP, signal.SIGINT])
def test_a_killed_process_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
        preexec_fn=lambda: [signal.signal(each, signal.SIG_DFL) for each in IGNORED],
    ) as process:  # fmt: skip
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        process.send_signal(number)
        process.wait()
    assert path.read_bytes() == b"old" and listed(tmp_path) == ["a.png"]


def test_a_folder_that_is_gone_or_closed_is_told(tmp_path: Path, how: str) -> None:
    with pytest.raises(RequestError, match="cannot be written"):
        write_whole(tmp_path / "none" / "a.png", b"x")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RequestError, match="cannot be written"):
        write_whole(tmp_path / "file" / "a.png", b"x")
    with pytest.raises(RequestError, match="cannot be written"):
        write_whole(tmp_path / ("a" * 300 + ".png"), b"x")
    assert listed(tmp_path) == ["file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(RequestError, match="permission denied"):
        write_whole(tmp_path / "a.png", b"x")
    tmp_path.chmod(0o700)


def test_a_name_that_is_taken_meanwhile_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    with whole(path) as file:
        file.write(b"new")
        path.write_bytes(b"meanwhile")
    assert path.read_bytes() == b"new" and saving.ENDING


def test_what_a_kill_left_between_two_names_goes_with_the_next_one_to_write(
    tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, other = tmp_path / ".a.png.0123456789abcdef.part", tmp_path / ".b.png.01.part"
    for path in (left, other, tmp_path / "a.png"):
        path.write_bytes(b"old")
    write_whole(tmp_path / "a.png", b"new")
    assert left.exists(), "somebody may be about to use it"
    monkeypatch.setattr(saving, "FORSAKEN", -1.0)
    write_whole(tmp_path / "a.png", b"newer")
    assert listed(tmp_path) == [".b.png.01.part", "a.png"]
