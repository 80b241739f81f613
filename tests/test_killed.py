"""SIGKILL at random moments: a few of what `tests/killed.py` does."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.house import ROOT
from tests.killed import KINDS


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork and no SIGKILL")
@pytest.mark.parametrize("kind", KINDS)
def test_whoever_is_killed_leaves_the_old_thing_or_the_new_one_whole(kind: str) -> None:
    command = [sys.executable, "tests/killed.py", "--count", "3", "--seed", "1", "--only", kind]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{kind}: killed" in done.stdout
