"""ScaNN's TensorFlow ops: a tree of leaves, anisotropic hashing in them, reordering by the vectors."""

from __future__ import annotations

import math
import secrets
from typing import Any

import numpy as np
import tensorflow as tf

from serving.config import ScannConfig
from serving.index.base import (
    NO_SCORE,
    SIDE_BY_SIDE,
    Candidates,
    Effort,
    Index,
    leaf_steps,
    multipliers_of,
    quantised,
    variable,
    zero_copy,
)
from serving.index.scann_ops import load_scann_ops, reordering_config

_REORDERS = (16, 12, 8, 6, 4, 3, 2, 1.5)  # candidates scored again for each one wanted
_HASHED = 1 / 64  # what a hashed vector takes in its leaf, to a whole one from anywhere
# The state of a searcher, in the order in which ScaNN hands it out and `TensorsToScann` does not take it back.
_STATE = (
    "scann_config",
    "serialized_partitioner",
    "datapoint_to_token",
    "ah_codebook",
    "hashed_dataset",
    "int8_dataset",
    "int8_multipliers",
    "dp_norms",
    "dataset",
)


class Scann(Index):
    """A searcher that the graph makes once from its state, under a name of its own."""

    kind = "scann"

    def __init__(self, state: dict[str, Any], shared_name: str, size: int, dim: int, leaves: int) -> None:
        super().__init__(name="scann")
        self._shared_name = shared_name  # two versions in one process must not find each other's searcher
        self.size = self.slots = size
        self.dim, self._leaves = dim, leaves
        for name in _STATE:
            setattr(self, name, variable(state[name], state[name].dtype, name))
        self._int8 = self.int8_dataset.shape.rank == 2

    def search(self, embeddings: tf.Tensor, effort: Effort) -> Candidates:
        """As `Index.search`."""
        scann_ops = load_scann_ops()
        handle = scann_ops.tensors_to_scann(
            self.dataset,
            self.scann_config,
            self.serialized_partitioner,
            self.datapoint_to_token,
            self.ah_codebook,
            self.hashed_dataset,
            self.int8_dataset,
            self.int8_multipliers,
            self.dp_norms,
            shared_name=self._shared_name,
        )
        count = min(effort.candidates, self.size)
        leaves = min(effort.leaves, self._leaves) if self._leaves else -1
        batch = tf.shape(embeddings)[0]
        queries = tf.pad(embeddings, [[0, tf.cast(batch == 0, tf.int32)], [0, 0]])  # the op takes no empty batch
        found = scann_ops.scann_search_batched(handle, queries, count, max(effort.reorder, count), leaves, False)
        rows, scores = found.indices[:batch], found.distances[:batch]
        for one in (rows, scores):
            one.set_shape([None, None])  # the op does not say
        there = tf.math.is_finite(scores)  # a row that finds fewer than others is filled up with NaN
        missing = [[0, 0], [0, count - tf.shape(rows)[1]]]  # where all do, the op's answer is as wide as theirs
        scores = tf.pad(tf.where(there, scores, NO_SCORE), missing, constant_values=NO_SCORE)
        return scores, tf.pad(tf.where(there, rows, -1), missing, constant_values=-1)

    def slice(self, begin: tf.Tensor, end: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """As `Index.slice`; a slot is a row."""
        return self._vectors(self._held()[begin:end]), tf.range(begin, end)

    def vectors_of(self, rows: tf.Tensor) -> tf.Tensor:
        """As `Index.vectors_of`."""
        return self._vectors(tf.gather(self._held(), rows))

    def cost(self, effort: Effort) -> float:
        """As `Index.cost`."""
        opened = min(effort.leaves, self._leaves) / self._leaves if self._leaves else 1.0
        return opened * self.size * (_HASHED if self._leaves else SIDE_BY_SIDE) + effort.reorder

    def _held(self) -> tf.Tensor:
        return (self.int8_dataset if self._int8 else self.dataset).read_value()

    def _vectors(self, held: tf.Tensor) -> tf.Tensor:
        return tf.cast(held, tf.float32) / self.int8_multipliers if self._int8 else held

    def settings(self) -> dict[str, Any]:
        """As `Index.settings`."""
        return {"leaves": self._leaves, "int8": self._int8}

    def efforts(self, k: int) -> list[list[Effort]]:
        """As `Index.efforts`."""
        if not self._leaves:
            return [[Effort(k)]]
        reorders = [round(k * factor) for factor in _REORDERS if k * factor < 2 * self.size]
        return [[Effort(k, leaves, reorder) for leaves in leaf_steps(self._leaves)] for reorder in reorders or [k]]


def build_scann(vectors: np.ndarray, config: ScannConfig, name: str) -> Scann:
    """Trains a searcher on float32 vectors `[N, dim]`; small catalogues are scored exactly."""
    size, dim = vectors.shape
    shared_name = f"{name}/{secrets.token_hex(8)}"  # one server may hold two folders' versions of one name and number
    dataset = zero_copy(vectors)
    builder = load_scann_ops().builder(dataset, min(100, size), "dot_product")
    if size < config.exact_below:
        state = _trained(builder.score_brute_force(config.int8), shared_name)
        return Scann(state, shared_name, size, dim, 0)
    leaves = min(config.leaves or round(math.sqrt(size)), size)
    sample = min(config.training_sample, size)
    builder = builder.tree(leaves, max(1, leaves // 20), training_sample_size=sample)
    builder = builder.score_ah(
        config.dims_per_block,
        anisotropic_quantization_threshold=config.anisotropic_threshold,
        training_sample_size=sample,
    )
    state = _trained(builder, shared_name)
    state["scann_config"] = tf.strings.join([state["scann_config"], reordering_config(config.int8)])
    if config.int8:
        multipliers = multipliers_of(vectors)
        state |= {"int8_dataset": quantised(vectors, multipliers), "int8_multipliers": multipliers}
    else:
        state["dataset"] = dataset
    return Scann(state, shared_name, size, dim, leaves)


def _trained(builder: Any, shared_name: str) -> dict[str, Any]:
    """The state of a searcher that is made and given back."""
    searcher = builder.build(shared_name=f"{shared_name}/building")
    state = dict(zip(_STATE, load_scann_ops().scann_to_tensors(searcher.searcher_handle), strict=True))
    tf.raw_ops.DestroyResourceOp(resource=searcher.searcher_handle)  # it holds vectors of its own
    return state
