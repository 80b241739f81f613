"""``python app.py``: its flags, and that what others can reach has a password."""

from __future__ import annotations

import importlib.util
import platform
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def start() -> ModuleType:
    """app.py; its name is taken by the package app/."""
    spec = importlib.util.spec_from_file_location("start", ROOT / "app.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_alone_on_this_machine_there_is_no_password(start: ModuleType) -> None:
    for host in ("127.0.0.1", "localhost", "::1", "127.8.8.8"):
        assert start.login(start.parse(["--host", host])) is None


@pytest.mark.parametrize("flags", [["--host", "0.0.0.0"], ["--host", "192.168.1.2"],
                                   ["--host", "::"], ["--host", "my-pc"], ["--share"]])  # fmt: skip
def test_whatever_others_can_reach_has_a_password(
    start: ModuleType, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    user, password = start.login(start.parse(flags))
    assert user == "varpaint" and len(password) >= 12
    assert password in capsys.readouterr().out
    assert start.login(start.parse(flags)) != (user, password)


def test_a_given_password_is_taken(start: ModuleType) -> None:
    assert start.login(start.parse(["--auth", "ann:a:b"])) == ("ann", "a:b")


@pytest.mark.parametrize("auth", ["ann", "ann:", ":secret", ""])
def test_half_a_password_is_refused(
    start: ModuleType, auth: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        start.parse(["--auth", auth])
    assert "USER:PASSWORD" in capsys.readouterr().err


def test_a_password_may_stand_in_a_file_or_the_environment(
    start: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "password").write_text("ann:se:cret\nignored\n")
    flags = start.parse(["--auth-file", str(tmp_path / "password")])
    assert start.login(flags) == ("ann", "se:cret")
    monkeypatch.setenv("VARPAINT_AUTH", "bob:other")
    assert start.login(start.parse([])) == ("bob", "other")
    for content in (None, b"", b"ann\n", b"\xff\xfe\x00"):
        path = tmp_path / "bad"
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(SystemExit):
            start.parse(["--auth-file", str(path)])
        assert "--auth" in capsys.readouterr().err.splitlines()[-1]


def test_models_are_fetched_from_a_window_only_where_nobody_else_can_reach_it(
    start: ModuleType,
) -> None:
    assert start.parse([]).downloads and start.parse(["--auth", "a:b"]).downloads
    for others in (["--share"], ["--host", "0.0.0.0"], ["--allow-host", "proxy"]):
        assert not start.parse(others).downloads
        assert start.parse([*others, "--downloads"]).downloads
    assert not start.parse(["--no-downloads"]).downloads


def test_work_is_kept_unless_it_is_not_to_be(start: ModuleType) -> None:
    flags = start.parse([])
    assert (flags.keep, flags.keep_days, flags.keep_size) == (True, 7, 4.0)
    assert not start.parse(["--no-keep"]).keep
    for wrong in (["--keep-days", "0"], ["--keep-size", "0"]):
        with pytest.raises(SystemExit):
            start.parse(wrong)


@pytest.mark.parametrize("flags", [["--auth", "a:b"], ["--share"], ["--host", "0.0.0.0"]])
def test_mcp_and_a_password_are_refused_together(
    start: ModuleType, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        start.parse(["--mcp", *flags])
    assert "for this machine alone" in capsys.readouterr().err


@pytest.mark.parametrize("flags", [["--most-work", "0"], ["--most-work", "x"], ["--memory", "0"],
                                   ["--memory", "nan"], ["--memory", "-1"]])  # fmt: skip
def test_bounds_that_are_none_are_refused(
    start: ModuleType, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        start.parse(flags)
    assert flags[0] in capsys.readouterr().err
    assert start.parse(["--most-work", "7", "--memory", "0.5"]).memory == 0.5


def test_mcp_without_its_package_says_what_to_install(
    start: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as end:
        start.parse(["--mcp"])
    assert end.value.code == 2
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert "pip install 'gradio[mcp]'" in told
    assert not start.parse([]).mcp


class SlowWindow:
    """A window whose page takes a few looks to answer."""

    is_running = True

    def __init__(self, looks: int) -> None:
        self.looks = looks

    def launch(self, **options: object) -> None:
        self.looks -= 1
        if self.looks:
            raise ValueError("When localhost is not accessible, ...")


def test_a_busy_machine_is_given_time(
    start: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    window = SlowWindow(looks=3)
    start.launch(window)
    assert window.looks == 0
    with pytest.raises(SystemExit):
        start.launch(SlowWindow(looks=99))
    assert "error: When localhost" in capsys.readouterr().err


def test_the_window_is_built_without_torch() -> None:
    code = (
        "import sys; from app.layout import build_window; from app.backend import Local; "
        "build_window(Local()); print('torch' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert run.stdout.strip() == "False", run.stderr


def test_building_the_window_writes_nothing_into_the_folder(start: ModuleType) -> None:
    assert not list((ROOT / "app").glob("*.pyi"))


HEAPS = """
import ctypes, runpy, sys, threading
if sys.argv[1] == "shared":
    runpy.run_path("app.py")["share_one_heap"]()
library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
together = threading.Barrier(6)
def hold():
    together.wait()
    blocks = [library.malloc(5000) for _ in range(100)]
    together.wait()
threads = [threading.Thread(target=hold) for _ in range(6)]
for each in threads: each.start()
for each in threads: each.join()
library.fopen.restype = ctypes.c_void_p
out = library.fopen(sys.argv[2].encode(), b"w")
library.malloc_info(0, ctypes.c_void_p(out))
library.fclose(ctypes.c_void_p(out))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_all_threads_of_the_program_share_one_heap(tmp_path: Path) -> None:
    counts = {}
    for how in ("shared", "not"):
        out = tmp_path / how
        subprocess.run([sys.executable, "-c", HEAPS, how, str(out)], cwd=ROOT, check=True)
        counts[how] = out.read_text().count("<heap nr=")
    assert counts["shared"] == 1 < counts["not"]
