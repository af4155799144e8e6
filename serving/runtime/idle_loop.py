"""Whether an event loop waited before a request came: whoever comes to an idle loop is alone."""

from __future__ import annotations

import threading
import time

# Seconds. A loop with requests before it takes the next at once; a lone client needs longer to come again.
_ROUND_TRIP = 0.00005


class IdleLoop(threading.local):
    """What the loop of the present thread did since it had its last answer."""

    def __init__(self) -> None:
        self._wall = self._cpu = 0.0

    def answered(self) -> None:
        """The loop has an answer."""
        self._wall, self._cpu = time.monotonic(), time.thread_time()

    @property
    def waited(self) -> bool:
        """Whether it did nothing for as long as a client takes to come again."""
        return time.monotonic() - self._wall - (time.thread_time() - self._cpu) > _ROUND_TRIP
