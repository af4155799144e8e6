"""The catalogue's table in the graph: from item ids to rows, and from rows to all that is known of them."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from preprocessing.logs.records import ATTRIBUTES
from preprocessing.text import analyser
from serving.catalogue.data_records import Strings
from serving.catalogue.table import NAMED, Table, word_hashes
from serving.index.base import variable

NO_ITEM = b" "  # TensorFlow reads no empty file into a table; no id is white space


class ItemLookup(tf.Module):
    """N items, as `serving.catalogue.Table` has them, and the fresh ones behind.

    `ids_file` holds the ids of the N, one a line in the order of rows; `fresh_file` a line NO_ITEM, then the others'.
    """

    def __init__(self, table: Table, ids_file: str, fresh_file: str, max_chars: int, max_words: int) -> None:
        super().__init__(name="items")
        self._limits = (max_chars, max_words)
        self.ids = variable(
            np.append(b"", table.ids), tf.string, "ids", grows=True
        )  # [1 + N + F], that of row -1 first
        self.names = {name: variable(table.names[name], tf.string, f"{name}_names", grows=True) for name in NAMED}
        self.numbers = {name: variable(table.numbers[name], tf.int32, f"{name}_numbers", grows=True) for name in NAMED}
        self._rows = _line_numbers(ids_file, 0)
        self._fresh_rows = _line_numbers(fresh_file, len(table) - 1)
        self._size = len(table)

    def rows(self, ids: tf.Tensor) -> tf.Tensor:
        """int32 rows of item ids of any shape; -1 for one that is not in the table."""
        fresh = self._fresh_rows.lookup(ids)
        fresh = tf.where(fresh >= self._size, fresh, -1)  # the line before the first is NO_ITEM's
        return tf.cast(tf.maximum(self._rows.lookup(ids), fresh), tf.int32)

    def ids_of(self, rows: tf.Tensor) -> tf.Tensor:
        """The ids of rows of any shape; "" for -1."""
        return tf.gather(self.ids, rows + 1)

    def attributes(self, ids: tf.Tensor) -> Strings:
        """By attribute ("item", "brand", ...) the strings of item ids of any shape; "" for what is not known."""
        rows = self.rows(ids)
        found = {"item": ids}
        for name in NAMED:
            numbers = tf.gather(self.numbers[name], tf.maximum(rows, 0))
            found[name] = tf.where(rows >= 0, tf.gather(self.names[name], numbers), "")
        return {name: found[name] for name in ATTRIBUTES}

    def wanted_words(self, terms: tf.Tensor) -> tf.Tensor:
        """The words of required terms: string `[B, N]` -> int64 `[B, words]`, -1 behind."""
        found = analyser.analyse(tf.reshape(terms, [-1]), ["word"], *self._limits)["word"]
        starts = tf.gather(found.row_splits, tf.range(tf.shape(terms)[0] + 1) * tf.shape(terms)[1])
        by_request = tf.RaggedTensor.from_row_splits(word_hashes(found.values), starts, validate=False)
        return by_request.to_tensor(-1)


def _line_numbers(path: str, first: int) -> tf.lookup.StaticHashTable:
    """From the lines of a file to their numbers, counted from `first`; -1 for others."""
    lines = tf.lookup.TextFileInitializer(
        path,
        tf.string,
        tf.lookup.TextFileIndex.WHOLE_LINE,
        tf.int64,
        tf.lookup.TextFileIndex.LINE_NUMBER,
        value_index_offset=first,
    )
    return tf.lookup.StaticHashTable(lines, default_value=-1)
