"""How many requests may be inside at a time."""

from __future__ import annotations

import threading

from serving.runtime.status import exhausted


class Admission:
    """A bound on concurrent requests; one more is refused at once instead of waiting."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self.inside = 0

    def __enter__(self) -> None:
        with self._lock:
            if self.inside >= self._most:
                raise exhausted(f"{self._most} requests are being answered, no more are taken at a time")
            self.inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self.inside -= 1
