"""The thread that the networks compute in, the same one from run to run.

What computes in parallel keeps helpers for each thread that asked for it. Where these are more than
there are cores, all of them sleep between two steps instead of waiting awake, and a small operator
takes several times as long; so nobody but this thread is to ask. It finds the memory that its last
run freed, too.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class Worker:
    """Does one piece of work after the other, in the order in which they were asked for."""

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = queue.SimpleQueue()
        self._beginning = threading.Lock()
        self._thread: threading.Thread | None = None

    def do(self, work: Callable[[], T]) -> T:
        """The result of ``work``, or what it raises; waits for it."""
        with self._beginning:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="model", daemon=True)
                self._thread.start()
        done: Future[T] = Future()
        self._work.put((work, done))
        return done.result()

    def _run(self) -> None:
        while True:
            _settle(*self._work.get())


def in_own_thread(work: Callable[[], T]) -> T:
    """The result of ``work``, or what it raises, done in a thread whose helpers end with it."""
    done: Future[T] = Future()
    threading.Thread(target=_settle, args=(work, done), name="once", daemon=True).start()
    return done.result()


def _settle(work: Callable[[], T], done: Future[T]) -> None:
    try:
        done.set_result(work())
    except BaseException as error:
        done.set_exception(error)
