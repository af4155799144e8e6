"""Which record file a record goes to: how many there are follows from the bytes of the records, where from a seed."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import NamedTuple

from preprocessing.config import OutputConfig

# So many readers, or machines that train, each find a file of their own, however small the data is.
_LEAST = {"train": 8, "validation": 1, "eval": 2, "catalog": 2}
_SQUEEZED = 3  # bytes of records in one of a file, near enough for records of ids
_RANGE = 64 << 20  # bytes of records that are sorted at a time


ShardKey = tuple[str, int, int, int]  # a `Shard` as a plain tuple, for which Beam has a coder of its own


class Shard(NamedTuple):
    """One of the files of a kind."""

    name: str
    number: int
    shards: int
    ranges: int = 1  # in which it is sorted, one after the other

    @property
    def key(self) -> ShardKey:
        """What it goes by in the shuffle."""
        return self.name, self.number, self.shards, self.ranges

    @property
    def file_name(self) -> str:
        """As in `train-00002-of-00008.tfrecord.gz`."""
        return f"{self.name}-{self.number:05d}-of-{self.shards:05d}.tfrecord.gz"

    def range_of(self, order: bytes) -> int:
        """The range of the file that a record's place falls into."""
        return int.from_bytes(order[:4], "big") * self.ranges >> 32


class Shards(NamedTuple):
    """All files of a kind."""

    name: str
    files: int
    ranges: int = 1

    def of(self, order: bytes) -> Shard:
        """The one that a record goes to, by the last bytes first: they say least about its place in the file."""
        return self.at(int.from_bytes(order[-2:] + order[:-2], "little") % self.files)

    def at(self, number: int) -> Shard:
        """The one of that number."""
        return Shard(self.name, number, self.files, self.ranges)


def order_key(seed: int, key: str) -> bytes:
    """Where a record comes in its file: a shuffle that a seed decides."""
    return hashlib.blake2b(key.encode(), digest_size=8, key=str(seed).encode()).digest()


def shards_of(output: OutputConfig, sizes: Mapping[str, int]) -> dict[str, Shards]:
    """The files of each kind, from the bytes of its records; also where nothing falls into one."""
    chosen = {
        "train": output.train_shards,
        "validation": output.validation_shards,
        "eval": output.eval_shards,
        "catalog": output.catalog_shards,
    }
    found = {}
    for name, count in chosen.items():
        size = sizes.get(name, 0)
        count = count or max(_LEAST[name], math.ceil(size / (output.shard_mb << 20) / _SQUEEZED))
        found[name] = Shards(name, count, max(1, math.ceil(size / count / _RANGE)))
    return found
