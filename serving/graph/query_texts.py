"""What a call says in words, to the ids that the query tower reads: one analysis of all of it."""

from __future__ import annotations

from collections.abc import Collection

import tensorflow as tf

from preprocessing.text.vocabulary_files import Vocabularies
from serving.catalogue.data_records import Strings
from serving.graph.towers import Features


class QueryTexts(tf.Module):
    """The columns `query_<gram>` and `history_word` of a query tower.

    Args:
      columns: of the tower.
      vocabularies: those that it was trained with.
    """

    def __init__(self, columns: Collection[str], vocabularies: Vocabularies) -> None:
        super().__init__(name="query_texts")
        self.vocabularies = vocabularies
        self._grams = sorted(one.removeprefix("query_") for one in columns if one.startswith("query_"))
        self._history = "history_word" in columns

    def alone(self, queries: tf.Tensor) -> tuple[Features, tf.RaggedTensor]:
        """Queries `[B]` -> int32 `[B, L]` a gram, and their words."""
        found = self.vocabularies.analyse(queries, sorted({*self._grams, "word"}))
        return self._ids(found), found["word"]

    def __call__(self, inputs: Strings) -> tuple[Features, tf.RaggedTensor]:
        """A call's `query` `[B]` and `history_queries` `[B, N]` -> int32 columns, and the queries' words."""
        if not self._history:
            return self.alone(inputs["query"])
        batch, history = tf.size(inputs["query"]), inputs["history_queries"]
        texts = tf.concat([inputs["query"], tf.reshape(history, [-1])], axis=0)
        found = self.vocabularies.analyse(texts, sorted({*self._grams, "word"}), batch)
        columns = self._ids(found)
        words = columns["query_word"]
        columns["query_word"] = words[:batch]
        columns["history_word"] = tf.reshape(words[batch:], [batch, history.shape[1], tf.shape(words)[1]])
        return columns, _first(found["word"], batch)

    def _ids(self, found: dict[str, tf.RaggedTensor]) -> Features:
        return {f"query_{name}": self.vocabularies.padded_ids(name, found[name]) for name in self._grams}


def _first(grams: tf.RaggedTensor, texts: tf.Tensor) -> tf.RaggedTensor:
    """Those of the first texts; a slice of a ragged tensor would be three times as many ops."""
    splits = grams.row_splits[: texts + 1]
    return tf.RaggedTensor.from_row_splits(grams.values[: splits[-1]], splits, validate=False)
