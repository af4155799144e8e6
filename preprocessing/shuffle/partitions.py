"""Partitions of users and of items, and the fewer keys by which the shuffle moves them.

A worker joins one partition at a time, so partitions are as many as memory asks for. Batches are dealt out by key: with
as many keys as a large log has partitions they would hold a record or two each.
"""

from __future__ import annotations

import collections
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

    def by_key(self, partitions: Iterable[int]) -> dict[int, tuple[int, ...]]:
        """The keys of some partitions, each with its own of them."""
        found: dict[int, tuple[int, ...]] = collections.defaultdict(tuple)
        for partition in partitions:
            found[self.key_of(partition)] += (partition,)
        return found
