"""Which words of a query an item has, by the analyser that the models read texts with."""

from __future__ import annotations

import tensorflow as tf

from preprocessing.text import analyser


class Words:
    """Splits texts into words."""

    def __init__(self) -> None:
        self._analyse = tf.function(
            lambda texts: analyser.analyse(texts, ["word"])["word"],
            input_signature=[tf.TensorSpec([None], tf.string)],
            autograph=False,
        )

    def of(self, texts: list[str]) -> list[list[str]]:
        """The words of each text, in order."""
        rows = self._analyse(tf.constant(texts, tf.string)).to_list()
        return [[word.decode("utf-8", "replace") for word in row] for row in rows]

    def shared(self, query: str, texts: list[str]) -> list[list[str]]:
        """For each text the words of the query that it has, each once."""
        wanted, *found = self.of([query, *texts])
        return [[word for word in dict.fromkeys(wanted) if word in row] for row in found]
