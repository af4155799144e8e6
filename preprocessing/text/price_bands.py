"""A price as an id: its band around the median of the item's leaf, in the same ops in Beam and in the served graph.

The medians are a table of lines, `<level>/<name> TAB <median of log prices>`, the last one that of all items:

    leaf/running shoes  4.38
    top/sports          4.1
    all                 3.72
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import tensorflow as tf

from preprocessing.text.price_levels import ALL, LEAF, SEPARATOR, TOP


class PriceBands(tf.Module):
    """1 to `bands`, cheapest first, each `ratio` times as dear as the one below; 0 for no price.

    Args:
      table: of medians; what it does not name falls back on its top category, then on all.
      bands: how many; the first and the last are open.
      ratio: how much dearer a band is than the one below.
    """

    def __init__(self, table: tf.lookup.StaticHashTable, bands: int, ratio: float) -> None:
        super().__init__(name="price_bands")
        self._medians, self._bands, self._width = table, bands, math.log(ratio)

    @classmethod
    def of_lines(cls, lines: Sequence[str], bands: int, ratio: float) -> PriceBands:
        """From the lines of the table."""
        names, medians = zip(*(line.rsplit(SEPARATOR, 1) for line in lines), strict=True)
        rows = tf.lookup.KeyValueTensorInitializer(tf.constant(names), tf.constant([*map(float, medians)]))
        return cls(tf.lookup.StaticHashTable(rows, default_value=math.nan), bands, ratio)

    @classmethod
    def of_file(cls, path: str, bands: int, ratio: float) -> PriceBands:
        """From the table's file, which travels with a SavedModel as its asset."""
        rows = tf.lookup.TextFileInitializer(path, tf.string, 0, tf.float32, 1, delimiter=SEPARATOR)
        return cls(tf.lookup.StaticHashTable(rows, default_value=math.nan), bands, ratio)

    def __call__(self, prices: tf.Tensor, leaves: tf.Tensor, tops: tf.Tensor) -> tf.Tensor:
        """float32 `[N]` and two strings `[N]` -> int64 `[N]`."""
        median = self._medians.lookup(tf.strings.join([LEAF, leaves]))
        for names in (tf.strings.join([TOP, tops]), tf.fill(tf.shape(tops), ALL)):
            median = tf.where(tf.math.is_nan(median), self._medians.lookup(names), median)
        there = (prices > 0) & tf.math.is_finite(prices)
        distance = (tf.math.log(tf.where(there, prices, 1.0)) - median) / self._width
        band = tf.floor(distance + self._bands / 2)
        return tf.where(there, 1 + tf.cast(tf.clip_by_value(band, 0, self._bands - 1), tf.int64), 0)
