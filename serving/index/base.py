"""What every index is: vectors in slots, approximate search by effort, exact search by slots."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

Candidates = tuple[tf.Tensor, tf.Tensor]  # scores float32 [B, n], rows int32 [B, n]; -inf and -1 where there is none
Accept = Callable[[tf.Tensor], tf.Tensor]  # rows int32 [B, n] -> bool [B, n]
_BLOCK = 16_384
_ALIGNED = 64  # bytes, for the widest registers
NO_SCORE = -float("inf")
SIDE_BY_SIDE = 1 / 8  # what a vector takes that is read after its neighbour, to one from anywhere


class Effort(NamedTuple):
    """How hard to look: all a search's cost hangs on these."""

    candidates: int  # items that come back
    leaves: int = 0  # leaves opened; an index without leaves ignores it
    reorder: int = 0  # candidates scored again with better vectors; likewise


class Index(tf.Module):
    """N items in `slots` slots (some may be empty), each with a float32 vector of width `dim`."""

    kind: str
    size: int
    slots: int
    dim: int

    @property
    def bytes(self) -> int:
        """What its variables hold."""
        return sum(int(tf.size(one)) * one.dtype.size for one in self.variables if one.dtype != tf.string)

    def search(self, embeddings: tf.Tensor, effort: Effort) -> Candidates:
        """The `effort.candidates` best of float32 `[B, dim]` by inner product, best first."""
        raise NotImplementedError

    def slice(self, begin: tf.Tensor, end: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The vectors float32 `[n, dim]` and rows int32 `[n]` (-1 for an empty slot) of the slots `[begin, end)`."""
        raise NotImplementedError

    def vectors_of(self, rows: tf.Tensor) -> tf.Tensor:
        """The vectors float32 `[n, dim]` of some rows int32 `[n]`."""
        raise NotImplementedError

    def cost(self, effort: Effort) -> float:
        """What a search of one request takes, in vectors that `vectors_of` could gather and score in that time."""
        raise NotImplementedError

    def settings(self) -> dict[str, Any]:
        """What was chosen when it was built, for the manifest."""
        raise NotImplementedError

    def efforts(self, k: int) -> list[list[Effort]]:
        """What tuning may choose from to find `k`: for each way of reordering, ever more of the same leaves.

        The first way reorders the most.
        """
        raise NotImplementedError


def leaf_steps(leaves: int) -> list[int]:
    """From one leaf to all of them, by fractions of a doubling."""
    steps = {round(1.25**power) for power in range(math.ceil(math.log(leaves, 1.25)))}
    return [*sorted(step for step in steps if step < leaves), leaves]


def exact_search(index: Index, embeddings: tf.Tensor, k: tf.Tensor, accept: Accept | None = None) -> Candidates:
    """The `k` best among all accepted items, scored block by block.

    Args:
      index: whose items.
      embeddings: float32 `[B, dim]`.
      k: int32 scalar.
      accept: which rows may come back; all by default.

    Returns:
      Scores and rows `[B, k]`; ties go to the earlier slot.
    """
    batch = tf.shape(embeddings)[0]

    def step(begin: tf.Tensor, best: tf.Tensor, found: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        end = tf.minimum(begin + _BLOCK, index.slots)
        vectors, rows = index.slice(begin, end)
        scores = tf.matmul(embeddings, vectors, transpose_b=True)
        rows = tf.tile(rows[None, :], [batch, 1])
        allowed = rows >= 0 if accept is None else (rows >= 0) & accept(rows)
        scores = tf.where(allowed, scores, NO_SCORE)
        return end, *best_of([best, scores], [found, rows], k)

    start = (tf.constant(0), tf.fill([batch, k], NO_SCORE), tf.fill([batch, k], -1))
    shapes = (tf.TensorShape([]), tf.TensorShape([None, None]), tf.TensorShape([None, None]))
    _, best, found = tf.while_loop(lambda begin, *_: begin < index.slots, step, start, shapes, parallel_iterations=1)
    return best, found


def best_of(scores: Sequence[tf.Tensor], rows: Sequence[tf.Tensor], k: tf.Tensor) -> Candidates:
    """The `k` best of several lists of scores and rows `[B, n]`, padded to `k`; an item of score -inf is none."""
    all_scores, all_rows = tf.concat(scores, axis=1), tf.concat(rows, axis=1)
    width = tf.minimum(k, tf.shape(all_scores)[1])
    best, place = tf.math.top_k(all_scores, width)
    found = tf.where(best > NO_SCORE, tf.gather(all_rows, place, batch_dims=1), -1)
    missing = [[0, 0], [0, k - width]]
    return tf.pad(best, missing, constant_values=NO_SCORE), tf.pad(found, missing, constant_values=-1)


def zero_copy(vectors: np.ndarray) -> tf.Tensor:
    """Float32 `[N, dim]` as a tensor over the same memory, mapped from a file or not; a copy where that cannot be."""
    if vectors.flags.c_contiguous and vectors.flags.writeable and vectors.ctypes.data % _ALIGNED == 0:
        return tf.experimental.dlpack.from_dlpack(vectors.__dlpack__())
    return tf.constant(vectors, tf.float32)


def aligned_zeros(*shape: int) -> np.ndarray:
    """Float32 that `in_place` does not copy."""
    size = 4 * math.prod(shape)
    memory = np.zeros(size + _ALIGNED, np.uint8)
    begin = -memory.ctypes.data % _ALIGNED
    return memory[begin : begin + size].view(np.float32).reshape(shape)


def variable(value: Any, dtype: tf.DType, name: str, grows: bool = False) -> tf.Variable:
    """A value that is saved beside the graph, so that the graph stays small; one that grows may change its length."""
    shape = tf.TensorShape([None, *value.shape[1:]]) if grows else None
    return tf.Variable(value, trainable=False, dtype=dtype, name=name, shape=shape)


def multipliers_of(vectors: np.ndarray) -> np.ndarray:
    """int8 steps to one, float32 `[dim]`: a 127th of the largest component of each column of vectors `[N, dim]`."""
    largest = np.maximum(vectors.max(axis=0), -vectors.min(axis=0))
    return (127 / np.maximum(largest, np.finfo(np.float32).tiny)).astype(np.float32)


def quantised(vectors: np.ndarray, multipliers: np.ndarray) -> np.ndarray:
    """Vectors `[N, dim]` in steps, int8: a quarter of their bytes."""
    steps: np.ndarray = np.empty(vectors.shape, np.int8)
    for begin in range(0, len(vectors), _BLOCK):
        part = slice(begin, begin + _BLOCK)
        np.rint(vectors[part] * multipliers, out=steps[part], casting="unsafe")
    return steps
