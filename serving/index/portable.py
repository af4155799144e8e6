"""Trained partitions in core TensorFlow ops alone: runs in any TensorFlow runtime, whatever it is linked with."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

from serving.config import PortableConfig
from serving.index.balanced_kmeans import assign, train_centroids
from serving.index.base import (
    NO_SCORE,
    SIDE_BY_SIDE,
    Candidates,
    Effort,
    Index,
    aligned_zeros,
    best_of,
    leaf_steps,
    multipliers_of,
    quantised,
    variable,
    zero_copy,
)

_ONE_BY_ONE = 128  # leaves at most that a graph has ops each for
_LEAST = 64  # items a leaf: to open one costs as much as to score them


class Portable(Index):
    """L leaves of M slots: `blocks` [L, M, dim], `rows` [L, M] (-1 in an empty slot), `centroids` [L, dim].

    With `int8` the blocks are in steps, `multipliers` [dim] of them to one.
    """

    kind = "portable"

    def __init__(self, vectors: np.ndarray, centroids: np.ndarray, rows: np.ndarray, int8: bool) -> None:
        super().__init__(name="portable")
        self.size, self.dim = vectors.shape
        self._leaves, self._leaf_size = rows.shape
        self.slots = self._leaves * self._leaf_size
        self.rows = variable(rows, tf.int32, "rows")
        slots: np.ndarray = np.zeros(self.size, np.int32)
        slots[rows[rows >= 0]] = np.flatnonzero(rows.reshape(-1) >= 0)
        self.slots_of = variable(slots, tf.int32, "slots_of")
        steps = multipliers_of(vectors) if int8 else None
        self.multipliers = None if steps is None else variable(steps, tf.float32, "multipliers")
        blocks = np.zeros((*rows.shape, self.dim), np.int8) if int8 else aligned_zeros(*rows.shape, self.dim)
        means = np.array(centroids, np.float32)  # of the items a leaf holds, not of those it drew
        for leaf, members in enumerate(rows):
            held = vectors[members[members >= 0]]
            blocks[leaf, : len(held)] = held if steps is None else quantised(held, steps)
            if len(held):
                means[leaf] = held.mean(axis=0)
        self.blocks = variable(blocks, tf.int8, "blocks") if int8 else variable(zero_copy(blocks), tf.float32, "blocks")
        self.centroids = variable(means, tf.float32, "centroids")

    def search(self, embeddings: tf.Tensor, effort: Effort) -> Candidates:
        """As `Index.search`: the centroids choose the leaves, every item in them is scored."""
        opened = min(effort.leaves, self._leaves)
        _, leaves = tf.math.top_k(tf.matmul(embeddings, self.centroids, transpose_b=True), opened)
        found = tf.reshape(tf.gather(self.rows.read_value(), leaves), [-1, opened * self._leaf_size])
        in_steps = embeddings if self.multipliers is None else embeddings / self.multipliers
        scores = tf.where(found >= 0, tf.reshape(self._scores(in_steps, leaves), tf.shape(found)), NO_SCORE)
        return best_of([scores], [found], tf.constant(min(effort.candidates, self.size)))

    def _scores(self, embeddings: tf.Tensor, leaves: tf.Tensor) -> tf.Tensor:
        """Of every slot of the leaves `[B, opened]`: `[B, opened * M, 1]`, request by request.

        What takes its time is to bring the leaves from memory, which requests seldom share.
        """
        # Read whole: a variable that was once gathered from, or assigned in part, is copied at each later read.
        blocks = self.blocks.read_value()
        opened = leaves.shape[1]

        def of_one(request: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
            column = request[0][:, None]
            if opened > _ONE_BY_ONE:
                return tf.matmul(self._floats(tf.gather(blocks, request[1])), column)
            begins = tf.unstack(tf.pad(request[1][:, None], [[0, 0], [0, 2]]))
            sliced = [tf.slice(blocks, begin, [1, self._leaf_size, self.dim]) for begin in begins]  # no copy
            return tf.concat([tf.matmul(self._floats(leaf), column) for leaf in sliced], axis=0)

        return tf.map_fn(of_one, (embeddings, leaves), fn_output_signature=tf.float32)

    def _floats(self, blocks: tf.Tensor) -> tf.Tensor:
        """Some leaves' slots float32 `[n, dim]`."""
        return tf.cast(tf.reshape(blocks, [-1, self.dim]), tf.float32)

    def slice(self, begin: tf.Tensor, end: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """As `Index.slice`; leaf after leaf."""
        return self._vectors(self._slots()[begin:end]), tf.reshape(self.rows, [-1])[begin:end]

    def vectors_of(self, rows: tf.Tensor) -> tf.Tensor:
        """As `Index.vectors_of`."""
        return self._vectors(tf.gather(self._slots(), tf.gather(self.slots_of.read_value(), rows)))

    def cost(self, effort: Effort) -> float:
        """As `Index.cost`."""
        return min(effort.leaves, self._leaves) * self._leaf_size * SIDE_BY_SIDE

    def _slots(self) -> tf.Tensor:
        return tf.reshape(self.blocks.read_value(), [-1, self.dim])

    def _vectors(self, held: tf.Tensor) -> tf.Tensor:
        floats = tf.cast(held, tf.float32)
        return floats if self.multipliers is None else floats / self.multipliers

    def settings(self) -> dict[str, Any]:
        """As `Index.settings`."""
        return {"leaves": self._leaves, "leaf_size": self._leaf_size, "int8": self.multipliers is not None}

    def efforts(self, k: int) -> list[list[Effort]]:
        """As `Index.efforts`; a leaf is all there is to choose."""
        return [[Effort(k, leaves) for leaves in leaf_steps(self._leaves)]]


def build_portable(vectors: np.ndarray, config: PortableConfig) -> Portable:
    """Partitions float32 vectors `[N, dim]` and lays each leaf's members side by side."""
    size = len(vectors)
    mean = min(config.leaf_size or max(_LEAST, round(math.sqrt(size) / 4)), size)
    leaves = math.ceil(size / mean)
    room = math.ceil(size / leaves * config.slack) if leaves > 1 else size
    centroids = train_centroids(vectors, leaves, config.training_sample, config.iterations, config.seed)
    leaf = assign(vectors, centroids, room)
    order = np.argsort(leaf, kind="stable")  # by leaf, within it by row
    counts = np.bincount(leaf, minlength=leaves)
    rows = np.full((leaves, int(counts.max())), -1, np.int32)
    begins = np.cumsum(counts) - counts
    rows[leaf[order], np.arange(size) - begins[leaf[order]]] = order
    return Portable(vectors, centroids, rows, config.int8)
