"""The served model: every signature over one query tower, one item tower, one index and one table of items."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from serving.features import FILTER_LISTS, ITEM_INPUTS, ITEM_LISTS, PLURALS, TOWER_LISTS, VECTOR_LISTS
from serving.items import Items
from serving.records import Strings
from serving.towers import Tower
from serving.widening import Conditions, Widening

Outputs = dict[str, tf.Tensor]


class Retrieval(tf.Module):
    """What is saved."""

    def __init__(
        self,
        query_tower: Tower,
        item_tower: Tower,
        items: Items,
        widening: Widening,
        widths: Mapping[str, int],
        default_k: int,
        max_k: int,
    ) -> None:
        super().__init__(name="retrieval")
        self.query_tower, self.item_tower = query_tower, item_tower
        self.items, self.widening = items, widening
        self._widths = dict(widths)
        self._default_k, self._max_k = default_k, max_k

    def signatures(self) -> dict[str, Any]:
        """The signatures by name, traced."""
        query = {"query": tf.TensorSpec([None], tf.string, "query")}
        k = {"k": tf.TensorSpec([None], tf.int32, "k")}
        vector = {name: self._list(name) for name in VECTOR_LISTS}
        filters = {name: self._list(name) for name in FILTER_LISTS}
        items = {name: tf.TensorSpec([None], tf.string, name) for name in ITEM_INPUTS}
        embedding = {"embedding": tf.TensorSpec([None, self.query_tower.dim], tf.float32, "embedding")}
        return {
            "serving_default": _traced(self.serving_default, query),
            "retrieve": _traced(self.retrieve, query | k | vector | filters),
            "embed_query": _traced(self.embed_query, query | vector),
            "embed_item": _traced(self.embed_item, items),
            "search": _traced(self.search, embedding | k),
        }

    def _list(self, name: str) -> tf.TensorSpec:
        return tf.TensorSpec([None, self._widths[name]], tf.string, name)

    def serving_default(self, **inputs: tf.Tensor) -> Outputs:
        """A query `[B]` of nobody in particular -> the `default_k` best."""
        query = inputs["query"]
        batch = tf.shape(query)[0]
        empty = tf.fill([batch, 1], "")
        embeddings = self.query_tower({"query": query, **dict.fromkeys(TOWER_LISTS, empty)})
        return self._answer(embeddings, tf.fill([batch], self._default_k), no_conditions(batch))

    def retrieve(self, **inputs: tf.Tensor) -> Outputs:
        """A query, its user's past, k and conditions -> the k best that meet them."""
        conditions = Conditions(self.items.wanted_words(inputs["required_terms"]), inputs["allowed_leaves"])
        return self._answer(self._embedded(inputs), inputs["k"], conditions)

    def embed_query(self, **inputs: tf.Tensor) -> Outputs:
        """A query and its user's past -> its vector."""
        return {"embedding": self._embedded(inputs)}

    def embed_item(self, **inputs: tf.Tensor) -> Outputs:
        """An item, known or not -> its vector."""
        return {"embedding": self.item_tower(inputs)}

    def search(self, **inputs: tf.Tensor) -> Outputs:
        """A vector `[B, dim]` and k -> the k best."""
        return self._answer(inputs["embedding"], inputs["k"], no_conditions(tf.shape(inputs["k"])[0]))

    def _embedded(self, inputs: Strings) -> tf.Tensor:
        return self.query_tower(tower_inputs(self.items, inputs))

    def _answer(self, embeddings: tf.Tensor, k: tf.Tensor, conditions: Conditions) -> Outputs:
        scores, rows = self.widening(embeddings, tf.clip_by_value(k, 0, self._max_k), conditions)
        return {"item_ids": self.items.ids_of(rows), "scores": scores}


def tower_inputs(items: Items, inputs: Strings) -> Strings:
    """What the query tower takes, from what a client sends: brand, shop and categories of its items are looked up."""
    features = {"query": inputs["query"], "history_queries": inputs["history_queries"]}
    for name in ITEM_LISTS:
        for attribute, strings in items.attributes(inputs[name]).items():
            features[f"{name.removesuffix('_items')}_{PLURALS[attribute]}"] = strings
    return features


def no_conditions(batch: tf.Tensor) -> Conditions:
    """Of requests that ask for none."""
    return Conditions(tf.zeros([batch, 0], tf.int64), tf.zeros([batch, 0], tf.string))


def _traced(method: Callable[..., Outputs], inputs: Mapping[str, tf.TensorSpec]) -> Any:
    return tf.function(method, autograph=False).get_concrete_function(**inputs)
