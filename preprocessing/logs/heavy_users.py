"""Bots before the shuffle: a worker leaves out what cannot be among a user's newest events.

Who is worth it is found approximately, by Misra and Gries: few counters, of which the smallest give way. What is
done is exact: an event is left out only if the cap's number of newer ones of its user is kept.
"""

from __future__ import annotations

import collections
from collections.abc import Iterator

from preprocessing.logs.newest_events import Event, NewestEvents, stream_of

HEAVY = "heavy"
HeavyEvent = tuple[str, str, int, tuple]  # user, stream, how often it came, the event
_COUNTED = 20_000  # events between two looks at the counters
_COUNTERS = 4_096
_HELD = 400_000  # events, near 200 MB


class HeavyUsers:
    """The newest events of those users of whom a worker saw more than a cap of them."""

    def __init__(self, cap: int) -> None:
        self._cap = cap
        self._seen: list[str] = []
        self._counts: collections.Counter[str] = collections.Counter()
        self._held: dict[str, NewestEvents] = {}

    def holds(self, event: Event) -> bool:
        """Takes the event of a heavy user; any other is only counted."""
        held = self._held.get(event.user_id)
        if held is not None:
            held.add(event)
        self._seen.append(event.user_id)
        if len(self._seen) >= _COUNTED:
            self._count()
        return held is not None

    def _count(self) -> None:
        self._counts.update(self._seen)
        self._seen = []
        for user_id, count in self._counts.items():
            if count > self._cap and user_id not in self._held:
                self._held[user_id] = NewestEvents(self._cap)
        if len(self._counts) > 2 * _COUNTERS:
            *kept, (_, least) = self._counts.most_common(_COUNTERS + 1)
            self._counts = collections.Counter({user_id: count - least for user_id, count in kept if count > least})

    @property
    def full(self) -> bool:
        """Whether it is time to drain."""
        return bool(self._held) and sum(map(len, self._held.values())) >= _HELD

    def drain(self) -> Iterator[HeavyEvent]:
        """All that is held, which it is then no longer."""
        for user_id, held in self._held.items():
            for event, times in held.drain():
                yield user_id, stream_of(event), times, tuple(event)

    def left_out(self) -> collections.Counter[str]:
        """How many of each stream were left out since this was last asked."""
        return sum((held.left_out() for held in self._held.values()), collections.Counter())
