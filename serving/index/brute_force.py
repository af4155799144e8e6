"""Exact search, core ops: for small catalogues, and the reference of the others."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from serving.index.base import SIDE_BY_SIDE, Candidates, Effort, Index, exact_search, variable, zero_copy


class BruteForce(Index):
    """Every vector is scored."""

    kind = "brute_force"

    def __init__(self, vectors: np.ndarray) -> None:
        super().__init__(name="brute_force")
        self.vectors = variable(zero_copy(vectors), tf.float32, "vectors")
        self.size = self.slots = int(vectors.shape[0])
        self.dim = int(vectors.shape[1])

    def search(self, embeddings: tf.Tensor, effort: Effort) -> Candidates:
        """As `Index.search`."""
        return exact_search(self, embeddings, tf.constant(min(effort.candidates, self.size)))

    def slice(self, begin: tf.Tensor, end: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """As `Index.slice`; a slot is a row."""
        return self.vectors[begin:end], tf.range(begin, end)

    def vectors_of(self, rows: tf.Tensor) -> tf.Tensor:
        """As `Index.vectors_of`."""
        return tf.gather(self.vectors.read_value(), rows)

    def cost(self, effort: Effort) -> float:
        """As `Index.cost`."""
        return self.size * SIDE_BY_SIDE

    def settings(self) -> dict[str, Any]:
        """As `Index.settings`."""
        return {}

    def efforts(self, k: int) -> list[list[Effort]]:
        """There is nothing to tune."""
        return [[Effort(k)]]
