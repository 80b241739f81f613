"""Hostile inputs: 200 of those that `tests/hostile.py` makes, and some requests to servers."""

from __future__ import annotations

from tests import hostile_http
from tests.hostile import SHARES, run


def test_hostile_inputs_are_taken_or_refused_in_one_line() -> None:
    ends, failures = run(200, seed=7)
    assert not failures, "\n".join(f"{each.kind} {each.number}: {each.what}" for each in failures)
    assert sum(ends.values()) == 200
    for kind in SHARES.keys() - {"line"}:  # which tells its errors itself
        assert ends[f"{kind} refused"], f"no {kind} was damaged enough to be refused"


def test_hostile_requests_are_answered_or_refused_in_one_line() -> None:
    ends, failures = hostile_http.run(50, seed=7)
    assert not failures, "\n".join(f"{each.kind} {each.number}: {each.what}" for each in failures)
    assert sum(ends.values()) == 50 and ends["endpoint refused"] and ends["window refused"]
    assert any(ends[f"{kind} taken"] for kind in hostile_http.SHARES)
