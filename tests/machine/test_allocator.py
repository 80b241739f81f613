"""Freed memory stays with the process, where the C library can be told so."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from engine.machine import allocator


def told(code: str, how: str) -> int:
    """The number that a process of its own prints."""
    command = [sys.executable, "-c", code, how]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout)


COUNT_FAULTS = """
import ctypes, resource, sys, threading
import torch
from engine.machine.allocator import keep_freed_memory
# How a process begins; glibc raises this threshold with use, by luck as it were.
assert ctypes.CDLL(None).mallopt(-3, 128 * 1024)
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def work():
    for _ in range(3):  # maps are made, filled and dropped
        maps = [torch.ones(SIZE) for _ in range(4)]
        del maps
def count():
    work()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    work()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
PLACE
"""
IN_A_THREAD = "thread = threading.Thread(target=count); thread.start(); thread.join()"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
@pytest.mark.parametrize("place", ["count()", IN_A_THREAD])
@pytest.mark.parametrize("size", [5_000_000, 10_500_000])  # 42 MB: more than glibc's own limit
def test_pages_are_not_made_anew_for_each_map(size, place):
    code = COUNT_FAULTS.replace("SIZE", str(size)).replace("PLACE", place)
    assert told(code, "keep") < told(code, "leave") / 10


LET_GO_OF = """
import sys
import torch
from engine.machine.allocator import keep_weights_apart
def held():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
torch.ones(8_000_000)  # a map that is let go of raises the threshold of glibc as it comes
if sys.argv[1] == "apart":
    assert keep_weights_apart()
# Weights are laid out anew, and every other one of the old ones is still there.
before = held()
old = [torch.ones(250_000) for _ in range(200)]
kept = old[::2]
del old
print(held() - before - sum(each.nbytes for each in kept))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_weights_that_are_let_go_of_leave_no_holes():
    assert told(LET_GO_OF, "apart") < told(LET_GO_OF, "leave") / 4


KEPT_THEN_APART = """
import sys
from engine.machine.allocator import keep_freed_memory
keep_freed_memory()
""" + LET_GO_OF


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_a_second_model_leaves_no_holes_either():
    assert told(KEPT_THEN_APART, "apart") < told(LET_GO_OF, "leave") / 4


def test_elsewhere_nothing_is_asked_for(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not allocator.keep_freed_memory()
    assert not allocator.keep_weights_apart()


def test_a_c_library_without_these_functions_is_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: object())
    assert not allocator.keep_freed_memory()
    assert not allocator.keep_weights_apart()


LOADING = """
import sys
from engine import loading
from engine.machine import allocator
asked = []
def noting(name):
    inner = getattr(allocator, name)
    def note():
        asked.append(name)
        return inner()
    return note
for name in ("keep_weights_apart", "keep_freed_memory"):
    told = noting(name)
    setattr(allocator, name, told)
    setattr(loading, name, told)
getattr(loading, sys.argv[1])("bundled", device="cpu")
print(len(asked))
"""


def test_a_library_leaves_the_c_librarys_settings_alone_and_a_program_does_not():
    assert told(LOADING, "load_editor") == 0
    assert told(LOADING, "load_in_own_process") == 2
