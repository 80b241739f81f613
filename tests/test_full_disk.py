"""The disk full: a part of what `tests/full_disk.py` does."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.full_disk import KINDS, can
from tests.house import ROOT

WAY = next((way for way in ("tmpfs", "limit") if can(way)), "")


@pytest.mark.skipif(not WAY, reason="only Linux bounds a file's length and mounts in private")
@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_leaves_the_old_file_whole_and_nothing_else_and_is_told_in_one_line(
    kind: str,
) -> None:
    if kind == "server" and WAY == "limit":
        pytest.skip("this machine lets nobody mount a small disk")
    flags = ["--count", "1", "--only", kind, "--way", WAY]
    command = [sys.executable, "tests/full_disk.py", *flags]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{kind}: the disk full" in done.stdout
