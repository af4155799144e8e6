"""The catalogue's table in the graph: from item ids to rows, and from rows to all that is known of them."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from preprocessing.text import analyser
from serving.catalogue.table import Table, word_hashes
from serving.graph.term_words import Words, hashed_terms
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
        self.words = variable(table.words, tf.int64, "words", grows=True)
        self.ends = variable(table.ends, tf.int64, "ends", grows=True)
        self.leaf_numbers = variable(table.numbers["leaf"], tf.int32, "leaf_numbers", grows=True)
        self.leaf_hashes = variable(word_hashes(table.names["leaf"]), tf.int64, "leaf_hashes", grows=True)
        self._places = _line_numbers(ids_file, 1)
        self._fresh_places = _line_numbers(fresh_file, len(table))
        self._size = len(table)

    def places(self, ids: tf.Tensor) -> tf.Tensor:
        """int64 places in `ids` of item ids of any shape; 0 for what is not among the N."""
        return self._places.lookup(ids)

    def rows(self, ids: tf.Tensor) -> tf.Tensor:
        """int32 rows of item ids of any shape, fresh ones too; -1 for one that is not in the table."""
        fresh = self._fresh_places.lookup(ids)
        fresh = tf.where(fresh > self._size, fresh, 0)  # the line before the first is NO_ITEM's
        return tf.cast(tf.maximum(self.places(ids), fresh), tf.int32) - 1

    def ids_of(self, rows: tf.Tensor) -> tf.Tensor:
        """The ids of rows of any shape; "" for -1."""
        return tf.gather(self.ids, rows + 1)

    def wanted_words(self, terms: tf.Tensor) -> tf.Tensor:
        """The words of required terms: string `[B, N]` -> int64 `[B, words]`, -1 behind."""
        words = analyser.analyse(tf.reshape(terms, [-1]), ["word"], *self._limits)["word"]
        return hashed_terms(Words(words, tf.constant(0)), terms)

    def have_words(self, rows: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
        """Whether titles and brands hold all wanted words: rows `[B, n]`, words `[B, T]` -> bool `[B, n]`."""
        batch, count = tf.shape(rows)[0], tf.shape(rows)[1]
        flat = tf.reshape(tf.maximum(rows, 0), [-1])
        begins, ends = tf.gather(self.ends, flat), tf.gather(self.ends, flat + 1)
        places = tf.ragged.range(begins, ends)
        held = tf.gather(self.words, places.values)
        item = tf.cast(places.value_rowids(), tf.int32)
        of_request = tf.gather(wanted, item // count)
        equal = tf.cast(of_request == held[:, None], tf.int32)
        met = tf.math.unsorted_segment_max(equal, item, batch * count) > 0
        met = tf.reshape(met, [batch, count, tf.shape(wanted)[1]]) | (wanted == -1)[:, None, :]
        return tf.reduce_all(met, axis=2)

    def in_leaves(self, rows: tf.Tensor, leaves: tf.Tensor) -> tf.Tensor:
        """Whether items lie in a named leaf: rows `[B, n]`, names `[B, A]` -> bool; all do where none is named."""
        named = leaves != ""
        of_items = tf.gather(self.leaf_hashes, tf.gather(self.leaf_numbers, tf.maximum(rows, 0)))
        inside = (of_items[:, :, None] == word_hashes(leaves)[:, None, :]) & named[:, None, :]
        return tf.reduce_any(inside, axis=2) | ~tf.reduce_any(named, axis=1)[:, None]


def _line_numbers(path: str, first: int) -> tf.lookup.StaticHashTable:
    """From the lines of a file to their numbers, counted from `first`; 0 for others."""
    lines = tf.lookup.TextFileInitializer(
        path,
        tf.string,
        tf.lookup.TextFileIndex.WHOLE_LINE,
        tf.int64,
        tf.lookup.TextFileIndex.LINE_NUMBER,
        value_index_offset=first,
    )
    return tf.lookup.StaticHashTable(lines, default_value=0)
