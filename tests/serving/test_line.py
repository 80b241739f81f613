"""The line before the model: first come, first served, and cancelled ones step out."""

from __future__ import annotations

import threading
import time

from engine.serving.line import Line


def wait_until(true: object) -> None:
    end = time.monotonic() + 10
    while not true():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.005)


def test_everybody_gets_a_turn_in_the_order_they_came_and_sees_the_line_get_shorter() -> None:
    line, order, seen = Line(), [], {1: [], 2: [], 3: []}
    threads = []

    def visit(number: int) -> None:
        with line.turn(ahead=seen[number].append) as mine:
            assert mine
            order.append(number)

    with line.turn() as mine:
        assert mine
        for number in seen:
            threads.append(threading.Thread(target=visit, args=(number,)))
            threads[-1].start()
            wait_until(lambda n=number: seen[n])
    for thread in threads:
        thread.join(10)
    assert order == [1, 2, 3]
    assert [line_ahead[0] for line_ahead in seen.values()] == [1, 2, 3]
    assert all(ahead == sorted(ahead, reverse=True) for ahead in seen.values())
    assert not len(line)


def test_a_cancelled_one_steps_out_at_once_and_the_next_moves_up() -> None:
    line, cancelled, turns = Line(), threading.Event(), []
    ahead: list[int] = []

    def gives_up() -> None:
        with line.turn(cancelled) as mine:
            turns.append(("gives up", mine))

    def waits() -> None:
        with line.turn(ahead=ahead.append) as mine:
            turns.append(("waits", mine))

    with line.turn():
        first = threading.Thread(target=gives_up)
        first.start()
        wait_until(lambda: len(line) == 2)
        second = threading.Thread(target=waits)
        second.start()
        wait_until(lambda: ahead == [2])
        cancelled.set()
        line.wake()
        first.join(10)
        assert turns == [("gives up", False)]
        wait_until(lambda: ahead == [2, 1])
    second.join(10)
    assert turns[-1] == ("waits", True)


def test_a_turn_that_fails_is_given_back() -> None:
    line = Line()
    try:
        with line.turn():
            raise ZeroDivisionError
    except ZeroDivisionError:
        pass
    with line.turn() as mine:
        assert mine
