"""What waits for a batch: requests, and the lanes in which they wait."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable

from serving.runtime.batch_arrays import Arrays
from serving.runtime.status import ServingError, too_late

_LONGEST_WAIT = 86_400.0  # gRPC writes "no deadline" as one in thousands of years
_NEWEST = 0.3  # the weight of the newest batch in what a batch is expected to take


class Task:
    """One request in a lane. Who waits for it is told when its outputs or its error are there."""

    __slots__ = ("arrays", "deadline", "error", "gone", "outputs", "queued", "rows", "told")

    def __init__(self, arrays: Arrays, rows: int, timeout: float | None = None) -> None:
        self.arrays, self.rows = arrays, rows
        self.queued = time.monotonic()
        self.deadline = None if timeout is None or timeout > _LONGEST_WAIT else self.queued + timeout
        self.outputs: Arrays = []
        self.error: ServingError | None = None
        self.gone = False  # nobody waits for it any more
        self.told: Callable[[], object] = lambda: None

    def wanted(self) -> bool:
        """Whether it is still to be run, at the moment when it could be."""
        if self.gone:
            return False
        if self.deadline is not None and time.monotonic() > self.deadline:
            self.end(error=late())
            return False
        return True

    def end(self, outputs: Arrays | None = None, error: ServingError | None = None) -> None:
        """Tells the outcome."""
        self.outputs, self.error = outputs or [], error
        self.told()

    def outcome(self) -> Arrays:
        """The outputs, once it was told."""
        if self.error is not None:
            raise self.error
        return self.outputs


class Lane:
    """The requests to one signature of one version; only they can share a batch.

    Those of `bulk` are larger than a batch, and have a lane of their own so that nobody waits behind them.
    """

    def __init__(self, name: str, call: Callable[..., Arrays], batchable: bool, bulk: bool = False) -> None:
        self.name, self.call, self.batchable, self.bulk = name, call, batchable, bulk
        self.tasks: deque[Task] = deque()
        self.rows = 0
        self.listed = False
        self._seconds: dict[int, float] = {}  # what a batch takes, by the number of binary digits of its rows
        self.gathering = 0  # rows that a first request which waits for company has room for
        self.full = threading.Event()

    def took(self, rows: int, seconds: float) -> None:
        """A batch of so many rows has taken so long."""
        size = rows.bit_length()
        before = self._seconds.get(size, seconds)
        self._seconds[size] = before + _NEWEST * (seconds - before)

    def expected(self, rows: int) -> float:
        """How long a batch of so many rows takes, by the nearest size seen; for ever, before any was."""
        size = rows.bit_length()
        return self._seconds[min(self._seconds, key=lambda seen: abs(seen - size))] if self._seconds else math.inf


def late() -> ServingError:
    """The status of a request that was not run in time."""
    return too_late("the deadline passed while the request waited for its batch")
