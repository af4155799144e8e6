"""Trained partitions in core TensorFlow ops alone: runs in any TensorFlow runtime, whatever it is linked with."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

from serving.config import PortableConfig
from serving.index.balanced import assign, train_centroids
from serving.index.base import NONE, Effort, Found, Index, aligned_zeros, best_of, in_place, leaf_steps, variable

_ONE_BY_ONE = 64  # leaves at most that a graph has an op each for


class Portable(Index):
    """L leaves of M slots: `blocks` [L, M, dim], `rows` [L, M] (-1 in an empty slot), `centroids` [L, dim]."""

    kind = "portable"

    def __init__(self, vectors: np.ndarray, centroids: np.ndarray, rows: np.ndarray) -> None:
        super().__init__(name="portable")
        self.size, self.dim = vectors.shape
        self._leaves, self._leaf_size = rows.shape
        self.slots = self._leaves * self._leaf_size
        self.rows = variable(rows, tf.int32, "rows")
        blocks = aligned_zeros(*rows.shape, self.dim)
        for leaf, members in enumerate(rows):
            held = members[members >= 0]
            blocks[leaf, : len(held)] = vectors[held]
        self.blocks = variable(in_place(blocks), tf.float32, "blocks")
        counts = (rows >= 0).sum(axis=1, keepdims=True)
        means = blocks.sum(axis=1) / np.maximum(counts, 1)  # of the items it holds, not of those it drew
        self.centroids = variable(np.where(counts > 0, means, centroids), tf.float32, "centroids")

    def search(self, embeddings: tf.Tensor, effort: Effort) -> Found:
        """As `Index.search`: the centroids choose the leaves, every item in them is scored."""
        opened = min(effort.leaves, self._leaves)
        _, leaves = tf.math.top_k(tf.matmul(embeddings, self.centroids, transpose_b=True), opened)
        found = tf.reshape(tf.gather(self.rows.read_value(), leaves), [-1, opened * self._leaf_size])
        scores = tf.where(found >= 0, tf.reshape(self._scores(embeddings, leaves), tf.shape(found)), NONE)
        return best_of([scores], [found], tf.constant(min(effort.candidates, self.size)))

    def _scores(self, embeddings: tf.Tensor, leaves: tf.Tensor) -> tf.Tensor:
        """Of every slot of the leaves `[B, opened]`: `[B, opened, M]`, request by request."""
        # Read whole: a variable that was once gathered from, or assigned in part, is copied at each later read.
        blocks = self.blocks.read_value()

        def of_one(request: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
            embedding, opened = request
            if opened.shape[0] > _ONE_BY_ONE:
                return tf.linalg.matvec(tf.gather(blocks, opened), embedding)
            return tf.stack([tf.linalg.matvec(blocks[leaf], embedding) for leaf in tf.unstack(opened)])  # no copy

        return tf.map_fn(of_one, (embeddings, leaves), fn_output_signature=tf.float32)

    def slice(self, begin: tf.Tensor, end: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """As `Index.slice`; leaf after leaf."""
        return tf.reshape(self.blocks, [-1, self.dim])[begin:end], tf.reshape(self.rows, [-1])[begin:end]

    def settings(self) -> dict[str, Any]:
        """As `Index.settings`."""
        return {"leaves": self._leaves, "leaf_size": self._leaf_size}

    def efforts(self, k: int) -> list[list[Effort]]:
        """As `Index.efforts`; a leaf is all there is to choose."""
        return [[Effort(k, leaves) for leaves in leaf_steps(self._leaves)]]


def build_portable(vectors: np.ndarray, config: PortableConfig) -> Portable:
    """Partitions float32 vectors `[N, dim]` and lays each leaf's members side by side."""
    size = len(vectors)
    mean = min(config.leaf_size or round(math.sqrt(size) / 2) or 1, size)
    leaves = math.ceil(size / mean)
    room = math.ceil(size / leaves * config.slack) if leaves > 1 else size
    centroids = train_centroids(vectors, leaves, config.training_sample, config.iterations, config.seed)
    leaf = assign(vectors, centroids, room)
    order = np.argsort(leaf, kind="stable")  # by leaf, within it by row
    counts = np.bincount(leaf, minlength=leaves)
    rows = np.full((leaves, int(counts.max())), -1, np.int32)
    begins = np.cumsum(counts) - counts
    rows[leaf[order], np.arange(size) - begins[leaf[order]]] = order
    return Portable(vectors, centroids, rows)
