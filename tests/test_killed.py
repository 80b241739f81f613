"""SIGKILL at random moments: a few of what `tests/killed.py` does."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.house import ROOT
from tests.killed import KINDS


@pytest.fixture(scope="module")
def told() -> str:
    """What the script says, of every kind; it ends at the first that is not as it should be."""
    command = [sys.executable, "tests/killed.py", "--count", "3", "--seed", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500)
    return done.stdout + done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork and no SIGKILL")
@pytest.mark.parametrize("kind", KINDS)
def test_whoever_is_killed_leaves_the_old_thing_or_the_new_one_whole(told: str, kind: str) -> None:
    assert f"{kind}: killed" in told, told
