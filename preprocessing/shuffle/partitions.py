"""Partitions of users and of items, and the fewer keys by which the shuffle moves them.

A worker joins one partition at a time, so partitions are as many as memory asks for. Batches are dealt out by key: with
as many keys as a large log has partitions they would hold a record or two each.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterable
from typing import NamedTuple


class Dealing(NamedTuple):
    """Ids are dealt to partitions, and partitions to keys."""

    partitions: int
    keys: int

    @classmethod
    def of(cls, partitions: int, most_keys: int) -> Dealing:
        """A key for each partition, as long as there are no more than that."""
        return cls(partitions, min(partitions, most_keys))

    @property
    def splits(self) -> bool:
        """Whether a key may hold several partitions."""
        return self.partitions > self.keys

    def partition_of(self, id_: str) -> int:
        """The partition a user or an item belongs to; the same on every worker, unlike `hash`."""
        return zlib.crc32(id_.encode()) % self.partitions

    def key_of(self, partition: int) -> int:
        """The key that a partition travels under."""
        return partition % self.keys

    def key_of_id(self, id_: str) -> int:
        """The key that a user or an item travels under."""
        return self.key_of(self.partition_of(id_))

    def rank_of(self, partition: int) -> int:
        """Which of the partitions of its key it is."""
        return partition // self.keys


def pack_ranks(ranks: Iterable[int]) -> bytes:
    """Distinct ranks as their gaps, each in as few groups of seven bits as it takes.

    >>> unpack_ranks(pack_ranks([7, 0, 300]))
    [0, 7, 300]
    """
    packed = bytearray()
    for before, after in itertools.pairwise((0, *sorted(ranks))):
        gap = after - before
        while gap > 0x7F:
            packed.append(gap & 0x7F | 0x80)
            gap >>= 7
        packed.append(gap)
    return bytes(packed)


def unpack_ranks(packed: bytes) -> list[int]:
    """The ranks in order."""
    ranks, rank, shift = [], 0, 0
    for byte in packed:
        rank += (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            ranks.append(rank)
            shift = 0
    return ranks
