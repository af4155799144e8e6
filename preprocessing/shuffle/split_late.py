"""A key's batches split into its partitions, one held at a time: the rest lies in a file of the worker's."""

from __future__ import annotations

import collections
import math
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import IO

from preprocessing.shuffle.keyed_batches import KeyedBatches, weight_of
from preprocessing.shuffle.packing import plain_size, unpack
from preprocessing.shuffle.partitions import Dealing

Sides = Mapping[str, Iterable[bytes]]  # batches by what they hold
PartitionsOf = Callable[[tuple], Iterable[int]]  # those of a key that a record goes to
_IN_MEMORY = 32 << 20  # bytes of batches


class Spool:
    """Batches by partition and side, written in any order and read back by partition."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._places: dict[int, dict[str, list[tuple[int, int]]]] = collections.defaultdict(dict)

    def write(self, partition: int, side: str, batch: bytes) -> None:
        """Puts a batch behind all others."""
        self._places[partition].setdefault(side, []).append((self._file.tell(), len(batch)))
        self._file.write(batch)

    def partitions(self) -> Iterator[tuple[int, Sides]]:
        """Each partition with what was written to it, to be read before the next is asked for."""
        for partition in sorted(self._places):
            yield partition, {side: self._read(places) for side, places in self._places[partition].items()}

    def _read(self, places: Iterable[tuple[int, int]]) -> Iterator[bytes]:
        for begin, size in places:
            self._file.seek(begin)
            yield self._file.read(size)


def split_late(
    key: int, batches: Iterable[tuple[str, bytes]], dealing: Dealing, partitions_of: Mapping[str, PartitionsOf]
) -> Iterator[tuple[int, Sides]]:
    """(partition, its batches by side) of a key's (side, batch) pairs.

    Args:
      key: of the shuffle.
      batches: (side, batch), read once and not held.
      dealing: how partitions are dealt to keys.
      partitions_of: by side, the partitions that a record goes to.
    """
    if not dealing.splits:
        sides: dict[str, list[bytes]] = collections.defaultdict(list)
        for side, batch in batches:
            sides[side].append(batch)
        yield key, sides
        return
    most = len(partitions_of) * math.ceil(dealing.partitions / dealing.keys)
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as file:
        spool = Spool(file)
        _deal(batches, spool, KeyedBatches(most), partitions_of)
        yield from spool.partitions()


def _deal(
    batches: Iterable[tuple[str, bytes]],
    spool: Spool,
    dealt: KeyedBatches[tuple[int, str]],
    partitions_of: Mapping[str, PartitionsOf],
) -> None:
    for side, batch in batches:
        find = partitions_of[side]
        records = unpack(tuple, batch)
        weight = weight_of(plain_size(batch) // max(len(records), 1))
        for record in records:
            for partition in find(record):
                dealt.add((partition, side), record, weight)
        if dealt.full:
            _write(dealt, spool)
    _write(dealt, spool)


def _write(dealt: KeyedBatches[tuple[int, str]], spool: Spool) -> None:
    for (partition, side), batch in dealt.drain():
        spool.write(partition, side, batch)
