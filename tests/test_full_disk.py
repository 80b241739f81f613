"""The disk full: a part of what `tests/full_disk.py` does."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.full_disk import KINDS, can
from tests.house import ROOT

WAY = next((way for way in ("tmpfs", "limit") if can(way)), "")


@pytest.fixture(scope="module")
def told() -> str:
    """What the script says, of every kind once; it ends at the first that is not as it should
    be."""
    command = [sys.executable, "tests/full_disk.py", "--count", "1", "--way", WAY]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500)
    return done.stdout + done.stderr


@pytest.mark.skipif(not WAY, reason="only Linux bounds a file's length and mounts in private")
@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_leaves_the_old_file_whole_and_nothing_else_and_is_told_in_one_line(
    told: str, kind: str
) -> None:
    if kind == "server" and WAY == "limit":
        pytest.skip("this machine lets nobody mount a small disk")
    assert f"{kind}: the disk full" in told, told
