"""Ids without bounds in a fixed table: an unknown one is the sum of the rows that several hash functions name."""

from __future__ import annotations

import zlib

import tensorflow as tf

from trainer.towers.sharded_tables import Table, looked_up

_PRIME = 2**31 - 1  # above every id, so that products of an id and a multiplier fit 63 bits


class HashedIds:
    """The rows of a table that make up an id: padding's first, then shared ones, then one for each known string.

    The functions are those of Carter and Wegman, (a * id + b) mod p mod rows. They hang on nothing but the number of
    shared rows: a vocabulary may grow.

    Args:
      hash_buckets: of the vocabulary; its ids from 1 to here are of unknown strings.
      shared: rows that they share.
      hashes: how many of these are summed.
    """

    def __init__(self, hash_buckets: int, shared: int, hashes: int) -> None:
        self._buckets, self._shared = hash_buckets, shared
        self._multipliers, self._offsets = (
            tf.constant([1 + zlib.crc32(f"{part} {one}".encode()) % (_PRIME - 1) for one in range(hashes)], tf.int64)
            for part in ("multiplier", "offset")
        )
        self._first = tf.constant([number == 0 for number in range(hashes)])

    def places(self, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Ids `[...]` -> rows of the table, int64 `[..., hashes]`, and which of them count, bool `[..., hashes]`."""
        ids = tf.cast(ids, tf.int64)[..., None]
        hashed = 1 + (ids * self._multipliers + self._offsets) % _PRIME % self._shared
        own = tf.where(ids > 0, ids - self._buckets + self._shared, 0)
        is_hashed = (ids > 0) & (ids <= self._buckets)
        return tf.where(is_hashed, hashed, own), is_hashed | self._first

    def summed(self, table: Table, ids: tf.Tensor) -> tf.Tensor:
        """The vectors `[..., width]` of ids `[...]`."""
        places, count = self.places(ids)
        rows = looked_up(table, places)
        return tf.reduce_sum(rows * tf.cast(count, rows.dtype)[..., None], axis=-2)
