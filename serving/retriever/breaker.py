"""A circuit breaker: who has failed several times in a row is left alone for a while."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class BreakerPolicy:
    """When it opens, and for how long."""

    failures: int = 5  # in a row
    pause: float = 0.5  # seconds, doubled each time it opens again
    longest_pause: float = 15.0


class Breaker:
    """Closed: calls pass. Open: none does, until the pause is over; then one may try."""

    def __init__(self, policy: BreakerPolicy, clock: Callable[[], float] = time.monotonic) -> None:
        self._policy, self._clock = policy, clock
        self._failures = 0
        self._openings = 0
        self._until = 0.0
        self._probing = False

    @property
    def is_open(self) -> bool:
        """Whether a call would be refused now."""
        if self._failures < self._policy.failures:
            return False
        return self._probing or self._clock() < self._until

    def begin(self) -> None:
        """A call sets out; behind a pause that is over it is the only one."""
        if self._failures >= self._policy.failures:
            self._probing = True

    def succeeded(self) -> None:
        """The other side answers."""
        self._failures = self._openings = 0
        self._probing = False

    def failed(self) -> None:
        """The other side does not."""
        self._failures += 1
        self._probing = False
        if self._failures >= self._policy.failures:
            pause = min(self._policy.longest_pause, self._policy.pause * 2**self._openings)
            self._until = self._clock() + pause * random.uniform(0.8, 1.2)
            self._openings += 1

    def abandoned(self) -> None:
        """The call was cancelled: it says nothing of the other side."""
        self._probing = False
