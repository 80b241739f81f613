"""What all tests share: threads that do not fight, no calls home, and honest skips."""

from __future__ import annotations

import os
import shutil
from collections import Counter

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
THREADS = min(2, CORES)

# Before torch is imported, and inherited by the servers and programs that tests start. Spinning
# OpenMP threads of two processes on two cores make both about ten times slower.
os.environ.setdefault("OMP_NUM_THREADS", str(THREADS))
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import pytest  # noqa: E402
import torch  # noqa: E402
from hypothesis import settings  # noqa: E402

from engine.benchmark.in_browser import BROWSERS  # noqa: E402

torch.set_num_threads(THREADS)

# Tests are not timed; a busy machine must not fail them.
settings.register_profile("varpaint", deadline=None)
settings.load_profile("varpaint")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        _longest_first(items)
    reasons = {}
    if not torch.cuda.is_available():
        reasons["gpu"] = "no CUDA device here"
    if not any(shutil.which(name) for name in BROWSERS):
        reasons["browser"] = "no Chromium here; on Debian: apt-get install chromium"
    for item in items:
        for marker, reason in reasons.items():
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


def _longest_first(items: list[pytest.Item]) -> None:
    """Side by side, files of few tests first: theirs begin servers and programs and take longest,
    and at the end one core would wait for the other. It needs ``--no-loadscope-reorder``."""
    count = Counter(item.path for item in items)
    items.sort(key=lambda item: count[item.path])
