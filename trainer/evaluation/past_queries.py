"""What was clicked and ordered after the most similar past queries: no model, and hard to beat among the first ten."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

import bm25s
import numpy as np

from trainer.data.dataset import requests
from trainer.evaluation.catalogue import Catalogue
from trainer.evaluation.query_scores import words_of

_WEIGHTS = {"ordered": 2.0, "clicked": 1.0}
# Chosen on the validation requests of the demo's market.
_NEIGHBOURS, _SHARPNESS = 200, 4
_GRAM = 3
_BATCH = 4096


class PastQueries:
    """The queries of the training requests by their character trigrams, each with the items that it led to.

    An item's score is the sum, over the past queries most like the query, of similarity^4 * log(1 + clicks + 2 orders).
    The similarity is the library's BM25 of trigrams, as a share of that of the nearest. All is sparse: memory grows
    with the trigrams of the distinct past queries and with the pairs of query and item, and with no product of both.
    """

    def __init__(self, data_dir: str, catalogue: Catalogue) -> None:
        self._items = len(catalogue)
        texts, pairs, weights = _acted_on(data_dir, catalogue)
        self._count = len(texts)
        self._index = bm25s.BM25()
        if self.possible:
            self._index.index([_trigrams(text) for text in texts], show_progress=False)
        self._rows, self._gains = pairs[:, 1], np.log1p(weights)
        self._splits = np.searchsorted(pairs[:, 0], np.arange(self._count + 1))

    @property
    def possible(self) -> bool:
        """Whether there is a past query with text."""
        return self._count > 0

    def scores(self, queries: Sequence[bytes]) -> Iterator[np.ndarray]:
        """float32 `[items]` for each query; 0: no similar past query led to the item."""
        for words in words_of(queries):
            similar = self._index.get_scores(_trigrams(" ".join(words))) if words else np.zeros(1)
            yield self._of_neighbours(similar) if similar.any() else np.zeros(self._items, np.float32)

    def _of_neighbours(self, similar: np.ndarray) -> np.ndarray:
        """Scores `[items]` from the similarities `[past queries]`."""
        nearest = np.flatnonzero(similar)
        if len(nearest) > _NEIGHBOURS:
            nearest = nearest[np.argpartition(-similar[nearest], _NEIGHBOURS)[:_NEIGHBOURS]]
        shares = (similar[nearest] / similar[nearest].max()) ** _SHARPNESS
        begins, ends = self._splits[nearest], self._splits[nearest + 1]
        places = np.concatenate([np.arange(begin, end) for begin, end in zip(begins, ends, strict=True)])
        gains = self._gains[places] * np.repeat(shares, ends - begins)
        return np.bincount(self._rows[places], gains, self._items).astype(np.float32)


def _acted_on(data_dir: str, catalogue: Catalogue) -> tuple[list[str], np.ndarray, np.ndarray]:
    """The distinct texts, pairs (text, row) in the order of the texts `[n, 2]`, and what was done, weighted `[n]`."""
    queries: dict[bytes, int] = {}
    asked, rows, weights = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0)]
    for batch in requests(data_dir, "train", _BATCH, {"query", *(f"{stage}_item_id" for stage in _WEIGHTS)}):
        numbers = np.array([queries.setdefault(query, len(queries)) for query in batch["query"].numpy().tolist()])
        for stage, weight in _WEIGHTS.items():
            ids = batch[f"{stage}_item_id"]
            asked.append(numbers[ids.value_rowids()])
            rows.append(catalogue.rows(ids.values.numpy().tolist()))
            weights.append(np.full(len(rows[-1]), weight))
    texts: dict[str, int] = {}  # queries that differ in case alone are one
    joined = [" ".join(words) for words in words_of(list(queries))]
    number_of = np.array([texts.setdefault(text, len(texts)) if text else -1 for text in joined], np.int64)
    text, row = number_of[np.concatenate(asked)], np.concatenate(rows)
    there = (text >= 0) & (row >= 0)
    pairs, places = np.unique(text[there] * len(catalogue) + row[there], return_inverse=True)
    return (
        list(texts),
        np.stack(np.divmod(pairs, len(catalogue)), 1),
        np.bincount(places, np.concatenate(weights)[there]),
    )


def _trigrams(text: str) -> list[str]:
    """Three neighbouring characters each, the spaces around words among them; one string for all texts with it."""
    padded = f" {text} "
    return [sys.intern(padded[place : place + _GRAM]) for place in range(len(padded) - _GRAM + 1)]
