"""Progress: the part that is done, and the time that is left."""

from __future__ import annotations

import pytest

from app.clock import Clock, in_words

SCALES = (1, 2, 4, 8)


def test_what_is_done_grows_to_one_with_most_of_the_work_in_the_last_scale() -> None:
    clock = Clock(SCALES)
    done = [clock.done(scale, frame, 2) for frame in range(2) for scale in SCALES]
    assert done == sorted(done) and done[-1] == 1.0
    assert done[3] == pytest.approx(0.5) and done[2] < 0.25


def test_time_left_follows_from_the_time_spent() -> None:
    now = [100.0]
    clock = Clock(SCALES, now=lambda: now[0])
    now[0] = 100.5
    assert clock.left(0.5) is None  # too early to say
    now[0] = 104.0
    assert clock.left(0.25) == pytest.approx(12.0)
    assert clock.left(1.0) == 0.0
    assert clock.left(0.0) is None


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 s"), (42.4, "42 s"), (61, "1 min"), (83, "1 min 20 s"), (200, "3 min")],
)
def test_times_are_rough(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
