"""Exact top-K over the whole catalogue, block by block, so that a flag bounds the memory."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs

from trainer.data.dataset import catalog
from trainer.job.restore import TrainedTowers

_BLOCK = 4096  # items embedded, and scored, at once


class Ranking(NamedTuple):
    """What a retriever found for each request, best first."""

    rows: np.ndarray  # int32 [n, K], of the catalogue; -1 where there are fewer items than K
    scores: np.ndarray  # float32 [n, K]


def item_vectors(
    towers: TrainedTowers, data_dir: str, items: int, memory: int, files: Sequence[str] | None = None
) -> np.ndarray:
    """The vectors `[items, d]` of the catalogue, or of some of its files, in their order.

    Past `memory` bytes they lie in a file without a name.
    """
    shape = (items, towers.dim)
    if items * towers.dim * 4 <= memory:
        vectors = np.empty(shape, np.float32)
    else:
        vectors = np.memmap(tempfile.TemporaryFile(), np.float32, "w+", shape=shape)  # noqa: SIM115 (closed with it)
    batches = catalog(data_dir, _BLOCK, towers.item_columns, files)
    embed = tf.function(towers.item, input_signature=[batches.element_spec])
    for number, batch in enumerate(batches):
        vectors[number * _BLOCK : (number + 1) * _BLOCK] = embed(batch)
    return vectors


def exact_top_k(queries: np.ndarray, vectors: np.ndarray, k: int, memory: int, block: int = _BLOCK) -> Ranking:
    """The `k` items with the largest inner product, for each of `queries` `[n, d]`; of equals the earlier item.

    Args:
      vectors: of the items `[m, d]`, gone through once for each group of requests.
      memory: bytes for the scores of one group with one block and for the best so far.
      block: items scored at once.
    """
    group = max(1, memory // (4 * block * 2 + 16 * k))
    rows = np.full([len(queries), k], -1, np.int32)
    scores = np.full([len(queries), k], -np.inf, np.float32)
    # One block after the other: each product of matrices has all cores as it is.
    search = tfrs.layers.factorized_top_k.Streaming(k=k, num_parallel_calls=1)
    search.index_from_dataset(_blocks(vectors, block))
    found = min(k, len(vectors))
    for first in range(0, len(queries), group):
        part = slice(first, first + group)
        scores[part, :found], rows[part, :found] = search.call(tf.constant(queries[part]))
    return Ranking(rows, scores)


def _blocks(vectors: np.ndarray, block: int) -> tf.data.Dataset:
    """(rows, vectors) of `block` items at a time, without a copy of them all in the graph.

    The rows are named here: where the library counts them, its counter may lie on a GPU that no dataset can reach.
    """

    def one(start: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        found = tf.numpy_function(lambda first: vectors[first : first + block], [start], tf.float32)
        found = tf.ensure_shape(found, [None, vectors.shape[1]])
        first = tf.cast(start, tf.int32)
        return tf.range(first, first + tf.shape(found)[0]), found

    return tf.data.Dataset.range(0, len(vectors), block).map(one)
