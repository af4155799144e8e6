"""A catalogue of a few hundred items whose conditions can be checked by hand, behind an index of any kind."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from preprocessing.words.word_lists import Statistics
from serving.catalogue.postings import build_postings, fresh_terms
from serving.catalogue.table import Table, TableBuilder
from serving.config import ServingConfig
from serving.graph.conditions import Conditions
from serving.graph.item_filter import ItemFilter
from serving.graph.item_lookup import NO_ITEM, ItemLookup
from serving.graph.over_retrieval import OverRetrieval, growing_efforts
from serving.graph.posting_lists import PostingLists
from serving.index.base import NO_SCORE, Effort
from serving.release.build_model import build_index

DIM, ITEMS, FRESH = 8, 300, 9
WORDS = [f"w{number}" for number in range(24)]
LEAVES, BRANDS = ["", "shoes", "bags", "hats", "coats"], ["", "acme", "zeta", "nord"]
WIDTHS = {"required_terms": 3, "allowed_leaves": 4, "allowed_brands": 3, "excluded_items": 6}

BOOSTS = np.array([1, 1, 0], np.float32)


class Item(NamedTuple):
    """One item."""

    item_id: str
    title: str
    brand: str
    leaf: str
    price: float


class Catalogue:
    """Made items, the last FRESH of them behind the index, some of both gone; and what a request should bring back."""

    def __init__(self, seed: int = 3) -> None:
        random = np.random.default_rng(seed)
        self.items = [self._made(random, number) for number in range(ITEMS + FRESH)]
        self.vectors = random.normal(size=(len(self.items), DIM)).astype(np.float32)
        self.alive = random.random(len(self.items)) > 0.1
        self.words = [{*one.title.split(), *one.brand.split()} for one in self.items]

    def _made(self, random: np.random.Generator, number: int) -> Item:
        chosen = np.minimum(random.geometric(0.12, size=random.integers(0, 7)) - 1, len(WORDS) - 1)
        price = math.nan if random.random() < 0.2 else float(random.integers(1, 50))
        leaf, brand = (names[random.choice(len(names), p=_shares(len(names)))] for names in (LEAVES, BRANDS))
        return Item(f"item{number}", " ".join(WORDS[place] for place in chosen), brand, leaf, price)

    def meets(self, row: int, request: dict[str, Any]) -> bool:
        """Whether an item is there and meets a request's conditions, read off it."""
        item = self.items[row]
        wanted = {word for term in request.get("required_terms", []) for word in term.split()}
        leaves, brands = ({*request.get(name, [])} - {""} for name in ("allowed_leaves", "allowed_brands"))
        low, high = request.get("price_range", (math.nan, math.nan))
        priced = not (math.isnan(low) and math.isnan(high))
        return bool(
            self.alive[row]
            and wanted <= self.words[row]
            and (not leaves or item.leaf in leaves)
            and (not brands or item.brand in brands)
            and item.item_id not in request.get("excluded_items", [])
            and not (priced and math.isnan(item.price))
            and not item.price < low
            and not item.price > high
        )

    def expected(self, embedding: np.ndarray, request: dict[str, Any]) -> list[tuple[int, float]]:
        """The rows of a request's answer and their scores, best first."""
        rows = [row for row in range(len(self.items)) if self.meets(row, request)]
        scores = self.vectors[rows] @ embedding
        order = np.argsort(-scores, kind="stable")[: request["k"]]
        return [(rows[place], float(scores[place])) for place in order]

    def table(self, items: Sequence[Item]) -> Table:
        """Items as an export has them."""
        builder = TableBuilder()
        columns = {
            "item_id": [one.item_id for one in items],
            "title": [one.title for one in items],
            "brand": [one.brand for one in items],
            "shop": [""] * len(items),
            "category_leaf": [one.leaf for one in items],
            "category_top": [""] * len(items),
        }
        batch = {name: tf.constant(values, tf.string) for name, values in columns.items()}
        builder.add(batch | {"price": tf.constant([one.price for one in items], tf.float32)})
        return builder.table("the test")

    def retrieval(self, kind: str, folder: Path, effort: Effort) -> OverRetrieval:
        """Over-retrieval of these items from an index of a kind."""
        table, fresh = self.table(self.items[:ITEMS]), self.table(self.items[ITEMS:])
        for name, ids in (("ids", table.ids), ("fresh", [NO_ITEM, *fresh.ids])):
            (folder / name).write_bytes(b"".join(one + b"\n" for one in ids))
        lookup = ItemLookup(table, str(folder / "ids"), str(folder / "fresh"), 64, 16)
        lookup.ids.assign([b"", *table.ids, *fresh.ids])
        config = ServingConfig.model_validate({"index": kind, "scann": {"exact_below": 0, "leaves": 5}})
        index = build_index(self.vectors[:ITEMS], config, f"{folder.name}/{kind}")
        lists = build_postings(table, BOOSTS)
        filters = ItemFilter(lookup, PostingLists(lists))
        found = OverRetrieval(index, filters, growing_efforts(effort, ITEMS), 100)
        for name, values in fresh_terms(fresh, Statistics(lists.lists.means, BOOSTS)).items():
            getattr(filters, f"fresh_{name}").assign(values)
        filters.alive.assign(np.append(False, self.alive))
        found.fresh.assign(self.vectors[ITEMS:])
        found.amended.assign(True)
        return found


class Asker:
    """Calls over-retrieval with requests as dictionaries."""

    def __init__(self, retrieval: OverRetrieval) -> None:
        self._retrieval = retrieval
        texts = {name: tf.TensorSpec([None, width], tf.string) for name, width in WIDTHS.items()}
        self._call = tf.function(self._answer, autograph=False).get_concrete_function(
            tf.TensorSpec([None, DIM], tf.float32),
            tf.TensorSpec([None], tf.int32),
            texts | {"price_range": tf.TensorSpec([None, 2], tf.float32)},
        )

    def _answer(self, embeddings: tf.Tensor, k: tf.Tensor, inputs: dict[str, tf.Tensor]) -> Any:
        conditions = Conditions.read(inputs, self._retrieval.items.wanted_words)
        return self._retrieval(embeddings, k, conditions)

    def __call__(self, embeddings: np.ndarray, requests: Sequence[dict[str, Any]]) -> list[list[tuple[int, float]]]:
        """Of each request the rows and scores of its k places."""
        inputs = inputs_of(requests)
        k = tf.constant([one["k"] for one in requests], tf.int32)
        scores, rows = self._call(tf.constant(embeddings, tf.float32), k, inputs)
        found = []
        for place, request in enumerate(requests):
            pairs = zip(rows[place].numpy().tolist(), scores[place].numpy().tolist(), strict=True)
            found.append(list(pairs)[: request["k"]])
            assert all(row == -1 for row in rows[place, request["k"] :].numpy())
        return found


def inputs_of(requests: Sequence[dict[str, Any]]) -> dict[str, tf.Tensor]:
    """The conditions of requests, as a call has them."""
    lists = {name: [_padded(one.get(name, []), width) for one in requests] for name, width in WIDTHS.items()}
    ranges = [one.get("price_range", (math.nan, math.nan)) for one in requests]
    texts = {name: tf.constant(values, tf.string) for name, values in lists.items()}
    return texts | {"price_range": tf.constant(ranges, tf.float32)}


def there(found: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """Without the places that are not filled, which stand behind."""
    filled = [pair for pair in found if pair[0] >= 0]
    assert all(score == NO_SCORE for _, score in found[len(filled) :])
    return filled


def _padded(values: Sequence[str], width: int) -> list[str]:
    return [*values, *[""] * (width - len(values))]


def _shares(count: int) -> np.ndarray:
    shares = 1 / np.arange(1, count + 1)
    return shares / shares.sum()
