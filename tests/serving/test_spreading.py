"""Blocks of rows whose workers die again and again: each row is tried alone before it fails."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from engine import RequestError
from engine.serving.cluster import TRIES, _work
from engine.serving.jobs import Row

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.ray


class Fragile:
    """A cluster of one worker that dies at some rows, whenever they come."""

    def __init__(self, deadly: set[int], together: bool) -> None:
        self.exceptions = ray.exceptions
        self.asked: list[list[int]] = []
        self.carry_out = SimpleNamespace(remote=self._remote)
        self._deadly, self._together = deadly, together

    def _remote(self, block: list[Row]) -> tuple[int, tuple[int, ...]]:
        self.asked.append([row.number for row in block])
        return len(self.asked), tuple(self.asked[-1])

    def wait(self, asked: list[Any], timeout: float) -> tuple[list[Any], list[Any]]:
        return asked[:1], asked[1:]

    def get(self, asked: tuple[int, tuple[int, ...]]) -> list[dict[str, Any]]:
        dies = self._deadly.intersection(asked[1])
        if dies and (len(asked[1]) > 1 or not self._together):
            raise ray.exceptions.ActorUnavailableError("it died", None)
        return [{"row": number} for number in asked[1]]


def rows(count: int) -> list[Row]:
    return [Row(number, {}) for number in range(1, count + 1)]


def test_rows_that_are_only_unlucky_together_are_done_alone() -> None:
    cluster = Fragile({2, 3}, together=True)
    entries = list(_work(cluster, [cluster], iter(rows(10))))
    assert sorted(entry["row"] for entry in entries) == list(range(1, 11))
    assert not any("error" in entry for entry in entries)
    assert {tuple(block) for block in cluster.asked if len(block) == 1} == {
        (n,) for n in (1, 2, 3, 4)
    }


def test_a_row_that_kills_its_worker_fails_alone() -> None:
    cluster = Fragile({6}, together=False)
    entries = list(_work(cluster, [cluster], iter(rows(8))))
    assert sorted(entry["row"] for entry in entries) == list(range(1, 9))
    [failed] = [entry for entry in entries if "error" in entry]
    assert failed["row"] == 6 and f"died {TRIES + 1} times" in failed["error"]


def test_a_cluster_that_has_gone_ends_the_batch_and_fails_no_row() -> None:
    cluster = Fragile(set(range(9, 500)), together=False)
    made: list[dict[str, Any]] = []
    with pytest.raises(RequestError, match="lost their workers"):
        made.extend(_work(cluster, [cluster], iter(rows(400))))
    assert len(cluster.asked) < 60
    assert [entry["row"] for entry in made] == list(range(1, 9))
    assert not any("error" in entry for entry in made)
