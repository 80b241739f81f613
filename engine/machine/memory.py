"""What an editor remembers from one request to the next: a small store, oldest entries go first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock
from typing import Any


class Memory:
    """Values by exact key, at most ``limit`` bytes of them. Threads may share it.

    A value is never changed while it is in here.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.bytes = 0
        self._held: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable) -> Any:
        """The value, which is now the newest; None if it is not, or no longer, here."""
        with self._lock:
            if key not in self._held:
                return None
            self._held.move_to_end(key)
            return self._held[key][0]

    def take(self, key: Hashable) -> Any:
        """The value, which is not here any more and so may be changed; None if it was not here."""
        with self._lock:
            value, size = self._held.pop(key, (None, 0))
            self.bytes -= size
            return value

    def put(self, key: Hashable, value: Any, size: int) -> None:
        """Hold a value of ``size`` bytes; what was used longest ago makes room for it."""
        with self._lock:
            if key in self._held:
                self.bytes -= self._held.pop(key)[1]
            if size > self.limit:
                return
            self._held[key] = (value, size)
            self.bytes += size
            while self.bytes > self.limit:
                self.bytes -= self._held.popitem(last=False)[1][1]

    def clear(self) -> None:
        """Forget everything, for want of memory."""
        with self._lock:
            self._held.clear()
            self.bytes = 0

