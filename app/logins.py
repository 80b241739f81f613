"""Guesses of a password cost time, and are written down."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

FIRST = 0.5  # seconds before the attempt after a failed one; each further one takes twice that ...
LONGEST = 16.0  # ... up to this
FORGOTTEN = 900.0  # seconds without an attempt after which an address begins anew
WAITING = 4  # attempts of one address that wait; more are refused at once
ADDRESSES = 1000  # that are remembered; those seen longest ago go first

log = logging.getLogger("varpaint")


@dataclass
class _Guesser:
    failed: int = 0
    seen: float = 0.0
    waiting: int = 0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class Logins:
    """Attempts to log in, by the address that they come from: one after the other, the longer
    apart the more of them failed. Those who come through a tunnel or a proxy share its address."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._guessers: OrderedDict[str, _Guesser] = OrderedDict()

    @asynccontextmanager
    async def attempt(self, address: str) -> AsyncIterator[Callable[[bool], None] | None]:
        """One attempt: what is given is to be told whether it succeeded. None if too many of this
        address wait already."""
        guesser = self._guesser(address)
        if guesser.waiting >= WAITING:
            yield None
            return
        guesser.waiting += 1
        try:
            async with guesser.turn:
                if guesser.failed:
                    await asyncio.sleep(delay(guesser.failed))
                yield lambda succeeded: self._told(address, guesser, succeeded)
        finally:
            guesser.waiting -= 1

    def _guesser(self, address: str) -> _Guesser:
        now = self._now()
        guesser = self._guessers.setdefault(address, _Guesser(seen=now))
        if now - guesser.seen > FORGOTTEN:
            guesser.failed = 0
        guesser.seen = now
        self._guessers.move_to_end(address)
        while len(self._guessers) > ADDRESSES:
            self._guessers.popitem(last=False)
        return guesser

    @staticmethod
    def _told(address: str, guesser: _Guesser, succeeded: bool) -> None:
        if succeeded:
            guesser.failed = 0
            return
        guesser.failed += 1
        log.warning("a wrong user or password from %s, %d in a row", address, guesser.failed)


def delay(failed: int) -> float:
    """Seconds before the next attempt, after so many failed ones."""
    return min(FIRST * 2.0 ** min(failed - 1, 30), LONGEST)
