"""A fair lock for the work that Python does on a request.

Threads that compete for the interpreter get it by chance, so that gRPC's own thread, one among dozens under overload,
would see the refusals it has to give too late. Who must wait for a turn first does not compete.
"""

from __future__ import annotations

import threading
from collections import deque


class Turns:
    """At most so many threads inside, in the order in which they came."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._lock = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()

    def __enter__(self) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                return
            mine = threading.Lock()
            mine.acquire()
            self._waiting.append(mine)
        mine.acquire()

    def __exit__(self, *_: object) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1
