"""The catalogue's ids in the graph: from item ids to rows, and from rows to ids."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from preprocessing.text import analyser
from serving.catalogue.table import Table
from serving.graph.term_words import hashed_terms
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
        return hashed_terms(self.words_of(tf.reshape(terms, [-1])), terms)

    def words_of(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """The words of texts `[B]`: strings `[B, (words)]`."""
        return analyser.analyse(texts, ["word"], *self._limits)["word"]


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
