"""BM25 over titles and brands: the row that every table is read against."""

from __future__ import annotations

import logging

import bm25s
import numpy as np
import tensorflow as tf

from preprocessing.text import analyser
from trainer.evaluation.catalogue import Catalogue
from trainer.evaluation.eval_requests import EvalRequests, Lists
from trainer.evaluation.exact_top_k import Ranking

logging.getLogger("bm25s").setLevel(logging.WARNING)  # it speaks at DEBUG by itself

_WORDS, _CHARS = 64, 1024  # of a title with its brand


class Bm25:
    """The library's BM25 on the words that our own analyser finds."""

    def __init__(self, catalogue: Catalogue) -> None:
        documents = [
            title if brand.lower() in title.lower() else brand + b" " + title
            for title, brand in zip(catalogue.titles.tolist(), catalogue.brands.tolist(), strict=True)
        ]
        self._index = bm25s.BM25()
        self._index.index(_words(documents), show_progress=False)
        self._items = len(catalogue)

    def rank(self, eval_requests: EvalRequests, k: int) -> tuple[Ranking, dict[str, np.ndarray]]:
        """The `k` best of each request, and the scores of the stages' items, flat (nan: not live)."""
        queries, places = np.unique(eval_requests.queries.astype(object), return_inverse=True)
        rows = np.full([len(queries), k], -1, np.int32)
        scores = np.full([len(queries), k], -np.inf, np.float32)
        asked = [np.flatnonzero(places == place) for place in range(len(queries))] if len(queries) else []
        of_stages = {
            name: np.full(len(stage.values), np.nan, np.float32) for name, stage in eval_requests.stages.items()
        }
        for place, words in enumerate(_words(queries.tolist())):
            found = self._index.get_scores(words) if words else np.zeros(self._items, np.float32)
            rows[place], scores[place] = _best(found, k)
            for name, stage in eval_requests.stages.items():
                _write_scores(of_stages[name], stage, asked[place], found)
        return Ranking(rows[places], scores[places]), of_stages

    def search(self, queries: list[bytes], k: int) -> Ranking:
        """The `k` best of queries."""
        found = [
            _best(self._index.get_scores(words) if words else np.zeros(self._items, np.float32), k)
            for words in _words(queries)
        ]
        return Ranking(np.stack([rows for rows, _ in found]), np.stack([scores for _, scores in found]))


def _words(texts: list[bytes]) -> list[list[str]]:
    words = analyser.analyse(tf.constant(texts, tf.string), ["word"], _CHARS, _WORDS)["word"]
    return [[word.decode() for word in one] for one in words.to_list()]


def _best(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Items that share a word with the query, best first; of equals the earlier row."""
    count = min(k, len(scores))
    floor = np.partition(scores, len(scores) - count)[len(scores) - count]
    candidates = np.flatnonzero((scores >= floor) & (scores > 0))
    order = candidates[np.lexsort([candidates, -scores[candidates]])][:count]
    missing = k - len(order)
    return np.pad(order, (0, missing), constant_values=-1), np.pad(scores[order], (0, missing), constant_values=-np.inf)


def _write_scores(target: np.ndarray, stage: Lists, requests: np.ndarray, scores: np.ndarray) -> None:
    for request in requests:
        first, end = stage.splits[request], stage.splits[request + 1]
        rows = stage.values[first:end]
        target[first:end] = np.where(rows >= 0, scores[rows], np.nan)
