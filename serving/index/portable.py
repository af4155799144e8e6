"""Trained partitions in core TensorFlow ops alone: runs in any TensorFlow runtime, whatever it is linked with."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

from serving.config import PortableConfig
from serving.index.balanced import assign, train_centroids
from serving.index.base import NONE, Effort, Found, Index, best_of, variable


class Portable(Index):
    """L leaves of M slots: `blocks` [L, M, dim], `rows` [L, M] (-1 in an empty slot), `centroids` [L, dim]."""

    kind = "portable"

    def __init__(self, centroids: Any, blocks: Any, rows: Any, size: int) -> None:
        super().__init__(name="portable")
        self.centroids = variable(centroids, tf.float32, "centroids")
        self.blocks = variable(blocks, tf.float32, "blocks")
        self.rows = variable(rows, tf.int32, "rows")
        self._leaves, self._leaf_size, self.dim = (int(length) for length in blocks.shape)
        self.size, self.slots = size, self._leaves * self._leaf_size

    def search(self, embeddings: tf.Tensor, effort: Effort) -> Found:
        """As `Index.search`: the centroids choose the leaves, every item in them is scored."""
        opened = min(effort.leaves, self._leaves)
        _, leaves = tf.math.top_k(tf.matmul(embeddings, self.centroids, transpose_b=True), opened)
        members = tf.gather(self.blocks, leaves)
        scores = tf.reshape(tf.linalg.matvec(members, embeddings[:, None, :]), [-1, opened * self._leaf_size])
        rows = tf.reshape(tf.gather(self.rows, leaves), [-1, opened * self._leaf_size])
        scores = tf.where(rows >= 0, scores, NONE)
        return best_of([scores], [rows], tf.constant(min(effort.candidates, self.size)))

    def slice(self, begin: tf.Tensor, end: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """As `Index.slice`; leaf after leaf."""
        return tf.reshape(self.blocks, [-1, self.dim])[begin:end], tf.reshape(self.rows, [-1])[begin:end]

    def settings(self) -> dict[str, Any]:
        """As `Index.settings`."""
        return {"leaves": self._leaves, "leaf_size": self._leaf_size}

    def efforts(self, k: int) -> list[list[Effort]]:
        """As `Index.efforts`: fractions of a doubling, since a leaf is all there is to choose."""
        steps = sorted({round(1.25**power) for power in range(1 + math.ceil(math.log(self._leaves, 1.25)))})
        return [[Effort(k, leaves) for leaves in (*(s for s in steps if s < self._leaves), self._leaves)]]


def build_portable(vectors: np.ndarray, config: PortableConfig) -> Portable:
    """Partitions float32 vectors `[N, dim]` and lays each leaf's members side by side."""
    size, dim = vectors.shape
    mean = min(config.leaf_size or round(math.sqrt(size) / 2) or 1, size)
    leaves = math.ceil(size / mean)
    room = math.ceil(size / leaves * config.slack) if leaves > 1 else size
    centroids = train_centroids(vectors, leaves, config.training_sample, config.iterations, config.seed)
    leaf = assign(vectors, centroids, room)
    order = np.argsort(leaf, kind="stable")
    counts = np.bincount(leaf, minlength=leaves)
    fullest = int(counts.max())
    rows = np.full((leaves, fullest), -1, np.int32)
    blocks = np.zeros((leaves, fullest, dim), np.float32)
    ends = np.cumsum(counts)
    for number, (end, count) in enumerate(zip(ends, counts, strict=True)):
        members = np.sort(order[end - count : end])
        rows[number, :count] = members
        blocks[number, :count] = vectors[members]
        if count:
            centroids[number] = blocks[number, :count].mean(axis=0)  # of those it holds, not of those it drew
    return Portable(centroids, blocks, rows, size)
