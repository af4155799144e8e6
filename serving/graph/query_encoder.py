"""A query and its user's past, as a client sends them, to a vector."""

from __future__ import annotations

import tensorflow as tf

from serving.catalogue.data_records import Strings
from serving.graph.past_items import PastItems
from serving.graph.query_texts import QueryTexts
from serving.graph.towers import Tower


class QueryEncoder(tf.Module):
    """The query tower behind its vocabularies and the catalogue's table of items."""

    def __init__(self, tower: Tower, texts: QueryTexts, past: PastItems) -> None:
        super().__init__(name="query_encoder")
        self.tower, self.texts, self.past = tower, texts, past

    @property
    def dim(self) -> int:
        """The width of the vectors."""
        return self.tower.dim

    def alone(self, queries: tf.Tensor) -> tuple[tf.Tensor, tf.RaggedTensor]:
        """Queries `[B]` of nobody in particular -> float32 `[B, dim]`, and their words."""
        columns, words = self.texts.alone(queries)
        return self.tower.query_alone(columns), words

    def __call__(self, inputs: Strings) -> tuple[tf.Tensor, tf.RaggedTensor]:
        """`query` `[B]` and the lists `[B, N]` -> float32 `[B, dim]`, and the queries' words."""
        columns, words = self.texts(inputs)
        return self.tower(columns | self.past(inputs)), words
