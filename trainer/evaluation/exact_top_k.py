"""Exact top-K over the whole catalogue, block by block, so that a flag bounds the memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from trainer.data.dataset import catalog
from trainer.job.restore import TrainedTowers

_EMBEDDED = 4096  # items embedded at once


class Ranking(NamedTuple):
    """What a retriever found for each request, best first."""

    rows: np.ndarray  # int32 [n, K], of the catalogue; -1 where there are fewer items than K
    scores: np.ndarray  # float32 [n, K]


class Blocks:
    """The catalogue's vectors in the order of the files; kept where they fit, embedded anew where not."""

    def __init__(self, towers: TrainedTowers, data_dir: str, items: int, memory: int) -> None:
        self._items = catalog(data_dir, _EMBEDDED, towers.item_columns)
        self._embed = tf.function(towers.item, input_signature=[self._items.element_spec])
        self._kept: list[np.ndarray] | None = None
        self._keeps = items * towers.dim * 4 <= memory

    def __iter__(self) -> Iterator[np.ndarray]:
        if self._kept is not None:
            return iter(self._kept)
        made = (self._embed(batch).numpy() for batch in self._items)
        if not self._keeps:
            return made
        self._kept = list(made)
        return iter(self._kept)


def exact_top_k(queries: np.ndarray, blocks: Iterable[np.ndarray], k: int, memory: int) -> Ranking:
    """The `k` items with the largest inner product, for each of `queries` `[n, d]`.

    Args:
      blocks: the items' vectors `[m, d]`, to be gone through once for each group of requests.
      memory: bytes for the scores of one group with one block and for the best so far.
    """
    group = max(1, min(len(queries), memory // (4 * _EMBEDDED * 2 + 16 * k)))
    parts = [_top_k_of(queries[first : first + group], blocks, k) for first in range(0, len(queries), group)]
    if not parts:
        return Ranking(np.zeros([0, k], np.int32), np.zeros([0, k], np.float32))
    return Ranking(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _top_k_of(queries: np.ndarray, blocks: Iterable[np.ndarray], k: int) -> Ranking:
    vectors = tf.constant(queries)
    best = tf.fill([len(queries), k], -float("inf"))
    rows = tf.fill([len(queries), k], -1)
    first = 0
    for block in blocks:
        best, rows = _merged(vectors, tf.constant(block), tf.constant(first), best, rows)
        first += len(block)
    return Ranking(rows.numpy(), best.numpy())


@tf.function(reduce_retracing=True)
def _merged(
    queries: tf.Tensor, block: tf.Tensor, first: tf.Tensor, best: tf.Tensor, rows: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """The best so far and a block's own, as the best of both; of equals the item of the earlier row."""
    k = tf.shape(best)[1]
    found = tf.math.top_k(tf.matmul(queries, block, transpose_b=True), tf.minimum(k, tf.shape(block)[0]))
    values, order = tf.math.top_k(tf.concat([best, found.values], axis=1), k)
    return values, tf.gather(tf.concat([rows, found.indices + first], axis=1), order, batch_dims=1)


def fused(one: Ranking, other: Ranking, constant: float = 60.0, weight: float = 1.0) -> Ranking:
    """Reciprocal rank fusion: an item scores the sum of 1 / (constant + rank) over the lists it is in.

    `weight` is what a place in `one` counts against the same place in `other`.
    """
    k = one.rows.shape[1]
    gains = np.outer([weight, 1.0], 1.0 / (constant + 1 + np.arange(k))).ravel()
    found = [_fuse_lists(np.concatenate(lists), gains, k) for lists in zip(one.rows, other.rows, strict=True)]
    return Ranking(np.stack([rows for rows, _ in found]), np.stack([scores for _, scores in found]))


def _fuse_lists(rows: np.ndarray, gains: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    there = rows >= 0
    distinct, places = np.unique(rows[there], return_inverse=True)
    scores = np.bincount(places, gains[there], len(distinct))
    order = np.lexsort([distinct, -scores])[:k]
    missing = k - len(order)
    return (
        np.pad(distinct[order], (0, missing), constant_values=-1).astype(np.int32),
        np.pad(scores[order], (0, missing), constant_values=-np.inf).astype(np.float32),
    )
