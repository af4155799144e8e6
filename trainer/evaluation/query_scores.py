"""Retrievers that know a query alone, without towers: from scores of all items to what is retrieved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import tensorflow as tf

from preprocessing.text import analyser
from trainer.evaluation.eval_requests import EvalRequests, Lists
from trainer.evaluation.exact_top_k import Ranking

_WORDS, _CHARS = 64, 1024  # of a text
_TOGETHER = 16_384  # texts analysed at once


class QueryScorer(Protocol):
    """Scores the catalogue for queries."""

    def scores(self, queries: Sequence[bytes]) -> Iterator[np.ndarray]:
        """float32 `[items]` for each query; 0: the item does not match."""


def words_of(texts: Sequence[bytes]) -> list[list[str]]:
    """The words that our own analyser finds, text by text."""
    found: list[list[str]] = []
    for first in range(0, len(texts), _TOGETHER):
        block = tf.constant(texts[first : first + _TOGETHER], tf.string)
        words = analyser.analyse(block, ["word"], _CHARS, _WORDS)["word"].to_list()
        found += [[word.decode() for word in one] for one in words]
    return found


def search(scorer: QueryScorer, queries: Sequence[bytes], k: int) -> Ranking:
    """The `k` best of queries."""
    rows, scores = np.full([len(queries), k], -1, np.int32), np.full([len(queries), k], -np.inf, np.float32)
    for place, found in enumerate(scorer.scores(queries)):
        rows[place], scores[place] = _best(found, k)
    return Ranking(rows, scores)


def rank_requests(scorer: QueryScorer, eval_requests: EvalRequests, k: int) -> tuple[Ranking, dict[str, np.ndarray]]:
    """The `k` best of each request, and the scores of the stages' items, flat (nan: not live).

    A query is scored once, however many requests ask it.
    """
    queries, places = np.unique(eval_requests.queries.astype(object), return_inverse=True)
    rows, scores = np.full([len(queries), k], -1, np.int32), np.full([len(queries), k], -np.inf, np.float32)
    of_stages = {name: np.full(len(stage.values), np.nan, np.float32) for name, stage in eval_requests.stages.items()}
    asked = np.split(np.argsort(places, kind="stable"), np.cumsum(np.bincount(places, minlength=len(queries)))[:-1])
    for place, found in enumerate(scorer.scores(queries.tolist())):
        rows[place], scores[place] = _best(found, k)
        for name, stage in eval_requests.stages.items():
            _write_scores(of_stages[name], stage, asked[place], found)
    return Ranking(rows[places], scores[places]), of_stages


def _best(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Items with a score, best first; of equals the earlier row."""
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
