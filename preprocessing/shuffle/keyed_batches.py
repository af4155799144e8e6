"""Records gathered by key until a batch of each is worth an element of the shuffle."""

from __future__ import annotations

import collections
from collections.abc import Hashable, Iterator
from typing import Any, Generic, TypeVar

from apache_beam.metrics import Metrics
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from preprocessing.shuffle.packing import pack

METRICS = "preprocessing"  # the namespace of the counters that a runner shows
LEAST_BUFFERED = 20_000  # records held over all keys
_USUAL = 512  # bytes of a record, beyond which it counts as several
_RECORDS_A_KEY = 128  # a batch of fewer costs more as an element than by what it holds

K = TypeVar("K", bound=Hashable)


class Traffic:
    """Counters of what is shuffled under a name: elements, their records and bytes."""

    def __init__(self, name: str) -> None:
        self._counters = [
            Metrics.counter(METRICS, f"shuffled/{name}/{what}") for what in ("elements", "records", "bytes")
        ]

    def add(self, records: int, batch: bytes) -> None:
        """Counts an element."""
        for counter, count in zip(self._counters, (1, records, len(batch)), strict=True):
            counter.inc(count)


class KeyedBatches(Generic[K]):
    """Records by key, no more of them than `full` allows."""

    def __init__(self, keys: int, traffic: Traffic | None = None) -> None:
        self._limit = buffered(keys)
        self._traffic = traffic
        self._clear()

    def _clear(self) -> None:
        self._records: dict[K, list[tuple]] = collections.defaultdict(list)
        self._size = 0

    def add(self, key: K, record: tuple, weight: int = 1) -> None:
        """Takes a record, which may be as large as several."""
        self._records[key].append(record)
        self._size += weight

    @property
    def full(self) -> bool:
        """Whether it is time to drain."""
        return self._size >= self._limit

    def drain(self) -> Iterator[tuple[K, bytes]]:
        """(key, batch) of all that is held, which it is then no longer."""
        for key, records in self._records.items():
            batch = pack(records)
            if self._traffic is not None:
                self._traffic.add(len(records), batch)
            yield key, batch
        self._clear()


def weight_of(size: int) -> int:
    """As how many records one of `size` bytes counts."""
    return max(1, size // _USUAL)


def buffered(keys: int) -> int:
    """How many records are worth holding, to be dealt to so many keys."""
    return max(LEAST_BUFFERED, _RECORDS_A_KEY * keys)


def in_the_end(value: Any) -> WindowedValue:
    """What `finish_bundle` gives out: there Beam asks for a window."""
    return WindowedValue(value, GlobalWindow().max_timestamp(), (GlobalWindow(),))
