"""The served model: every signature over one query tower, one item tower, one index and one table of items."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from serving.graph.channels import Channels, Found
from serving.graph.conditions import Conditions
from serving.graph.flatten import flatten
from serving.graph.item_encoder import ItemEncoder
from serving.graph.item_lookup import ItemLookup
from serving.graph.over_retrieval import OverRetrieval
from serving.graph.query_encoder import QueryEncoder
from serving.graph.shard_lists import ShardLists
from serving.graph.similar_items import SimilarItems
from serving.inputs import FILTER_LISTS, PRICE_RANGE, VECTOR_LISTS, beside

Outputs = dict[str, tf.Tensor]
Signatures = dict[str, Any]  # name -> a traced function
_QUERY = {"query": tf.TensorSpec([None], tf.string, "query")}
_ITEM = {"item_id": tf.TensorSpec([None], tf.string, "item_id")}
_K = {"k": tf.TensorSpec([None], tf.int32, "k")}
_PRICES = {PRICE_RANGE: tf.TensorSpec([None, 2], tf.float32, PRICE_RANGE)}


class Embedder(tf.Module):
    """`embed_query` and `embed_item`."""

    def __init__(self, queries: QueryEncoder, items: ItemEncoder, widths: Mapping[str, int]) -> None:
        super().__init__(name="embedder")
        self.query_encoder, self.item_encoder = queries, items
        self.past = queries.past
        self._widths = dict(widths)

    def signatures(self) -> Signatures:
        """By name, traced."""
        return {
            "embed_query": _traced(self.embed_query, _QUERY | self.past_inputs),
            "embed_item": item_signature(self.item_encoder),
        }

    @property
    def past_inputs(self) -> dict[str, tf.TensorSpec]:
        """What shapes a vector besides the query: a user's past."""
        signals = {name: [None, self._widths[beside(name)]] for name in self.past.signals}
        numbers = {name: tf.TensorSpec(shape, tf.int32, name) for name, shape in signals.items()}
        return _lists(VECTOR_LISTS, self._widths) | numbers

    def embed_query(self, **inputs: tf.Tensor) -> Outputs:
        """A query and its user's past -> its vector."""
        return {"embedding": self.query_encoder(inputs)[0]}


class Searcher(tf.Module):
    """`search` and `similar`, and for shards `search_filtered` and, where words are asked, `search_channels`."""

    def __init__(
        self,
        items: ItemLookup,
        over_retrieval: OverRetrieval,
        widths: Mapping[str, int],
        lists: ShardLists | None = None,
        looks_up: bool = False,
    ) -> None:
        super().__init__(name="searcher")
        self.items, self.over_retrieval, self.lists = items, over_retrieval, lists
        self.similar_items = SimilarItems(over_retrieval, looks_up)
        self._widths = dict(widths)

    def signatures(self, filtered: bool) -> Signatures:
        """By name, traced."""
        dim = self.over_retrieval.index.dim
        vector = {"embedding": tf.TensorSpec([None, dim], tf.float32, "embedding")} | _K
        filters = _lists(FILTER_LISTS, self._widths) | _PRICES
        found = {"search": _traced(self.search, vector), "similar": _traced(self.similar, _ITEM | _K | filters)}
        if filtered:
            found["search_filtered"] = _traced(self.search_filtered, vector | filters)
            if self.lists is not None:
                found["search_channels"] = _traced(self.search_channels, _QUERY | vector | filters)
        return found

    def search(self, **inputs: tf.Tensor) -> Outputs:
        """A vector `[B, dim]` and k -> the k best."""
        return self.answer(inputs["embedding"], inputs["k"], None)

    def search_filtered(self, **inputs: tf.Tensor) -> Outputs:
        """A vector `[B, dim]`, k and conditions -> the k best that meet them."""
        return self.answer(inputs["embedding"], inputs["k"], Conditions.read(inputs, self.items.wanted_words))

    def search_channels(self, **inputs: tf.Tensor) -> Outputs:
        """A query, its vector `[B, dim]`, k and conditions -> what each channel finds by itself."""
        assert self.lists is not None
        return self.lists(inputs)

    def similar(self, **inputs: tf.Tensor) -> Outputs:
        """An item `[B]`, k and conditions -> the k best beside it."""
        found = self.similar_items(inputs)
        return found | {name: tf.ensure_shape(found[name], [None, None]) for name in ("item_ids", "scores")}

    def answer(self, embeddings: tf.Tensor, k: tf.Tensor, conditions: Conditions | None) -> Outputs:
        """Item ids and scores `[B, max k]`."""
        k = tf.clip_by_value(k, 0, self.over_retrieval.max_k)
        scores, rows = self.over_retrieval(embeddings, k, conditions)
        found = {"item_ids": self.items.ids_of(rows), "scores": scores}
        return {name: tf.ensure_shape(one, [None, None]) for name, one in found.items()}


class Retrieval(tf.Module):
    """What is saved: from a query to items in one call, and each part of the way by itself."""

    def __init__(
        self, embedder: Embedder, searcher: Searcher, channels: Channels, widths: Mapping[str, int], default_k: int
    ) -> None:
        super().__init__(name="retrieval")
        self.embedder, self.searcher, self.channels = embedder, searcher, channels
        self.items, self.past, self.over_retrieval = searcher.items, embedder.past, searcher.over_retrieval
        self._widths, self._default_k = dict(widths), default_k

    def signatures(self) -> Signatures:
        """By name, traced."""
        lists = self.embedder.past_inputs | _lists(FILTER_LISTS, self._widths)
        return {
            "serving_default": _traced(self.serving_default, _QUERY),
            "retrieve": _traced(self.retrieve, _QUERY | _K | lists | _PRICES),
            **self.embedder.signatures(),
            **self.searcher.signatures(filtered=False),
        }

    def serving_default(self, **inputs: tf.Tensor) -> Outputs:
        """A query `[B]` of nobody in particular -> the `default_k` best."""
        embeddings, words = self.embedder.query_encoder.alone(inputs["query"])
        width = min(self._default_k, self.over_retrieval.max_k)
        k = tf.fill([tf.shape(embeddings)[0]], self._default_k)
        return self._named(self.channels(embeddings, words, k, None), width)

    def retrieve(self, **inputs: tf.Tensor) -> Outputs:
        """A query, its user's past, k and conditions -> the k best that meet them."""
        embeddings, words = self.embedder.query_encoder(inputs)
        conditions = Conditions.read(inputs, self.items.wanted_words)
        return self._named(self.channels(embeddings, words, inputs["k"], conditions), None)

    def _named(self, found: Found, width: int | None) -> Outputs:
        """Item ids, scores and channels `[B, max k]`; where that is known, as `width`, the signature states it."""
        named = {"item_ids": self.items.ids_of(found.rows), "scores": found.scores, "channels": found.channels}
        return {name: tf.ensure_shape(one, [None, width]) for name, one in named.items()}


def item_signature(encoder: ItemEncoder) -> Any:
    """`embed_item`: an item, known or not -> its vector."""

    def embed_item(**inputs: tf.Tensor) -> Outputs:
        return {"embedding": encoder(inputs)}

    return _traced(embed_item, encoder.inputs)


def save(module: tf.Module, path: str, signatures: Signatures) -> None:
    """Writes a SavedModel of one flat graph; ScaNN's ops may stand in it."""
    options = tf.saved_model.SaveOptions(namespace_whitelist=["Scann"])
    tf.saved_model.save(module, path, signatures=signatures, options=options)
    flatten(Path(path))


def _lists(names: tuple[str, ...], widths: Mapping[str, int]) -> dict[str, tf.TensorSpec]:
    """Lists of fixed width."""
    return {name: tf.TensorSpec([None, widths[name]], tf.string, name) for name in names}


def _traced(method: Callable[..., Outputs], inputs: Mapping[str, tf.TensorSpec]) -> Any:
    return tf.function(method, autograph=False).get_concrete_function(**inputs)
