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

    def alone(self, queries: tf.Tensor) -> Features:
        """Queries `[B]` -> int32 `[B, L]` a gram."""
        return {f"query_{name}": ids for name, ids in self.vocabularies.encoded(queries, self._grams).items()}

    def __call__(self, inputs: Strings) -> tuple[Features, tf.RaggedTensor]:
        """A call's `query` `[B]`, `history_queries` `[B, N]` and, if they are asked for, `required_terms` `[B, T]`.

        Returns:
          The columns, and the words of the terms: strings `[B * T, (words)]`.
        """
        history = [inputs["history_queries"]] if self._history else []
        terms = [inputs[name] for name in ("required_terms",) if name in inputs]
        lists = [tf.reshape(one, [-1]) for one in (*history, *terms)]
        grams = sorted({*self._grams, *(["word"] if lists else [])})
        found = self.vocabularies.analyse(tf.concat([inputs["query"], *lists], axis=0), grams)
        batch, width = tf.size(inputs["query"]), sum(one.shape[1] for one in history)
        columns = {}
        for name in self._grams:
            rows = batch * (1 + width) if name == "word" else batch
            columns[f"query_{name}"] = self.vocabularies.padded_ids(name, found[name], rows)
        if history:
            words = columns["query_word"]
            columns["query_word"] = words[:batch]
            columns["history_word"] = tf.reshape(words[batch:], [batch, width, tf.shape(words)[1]])
        return columns, found["word"][batch * (1 + width) :] if terms else None
