"""Balanced k-means: partitions of one size at most, so that a leaf is one slice."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

_DISTANCES = 2**22  # that are held at a time
_CHOICES = 8  # the nearest leaves an item may go to before it goes wherever there is room


def train_centroids(vectors: np.ndarray, leaves: int, sample: int, iterations: int, seed: int) -> np.ndarray:
    """Lloyd's iterations on a sample of float32 `[N, dim]` -> `[leaves, dim]`."""
    random = np.random.default_rng(seed)
    size = len(vectors)
    chosen = vectors if size <= sample else vectors[np.sort(random.choice(size, sample, replace=False))]
    centroids = np.array(chosen[random.choice(len(chosen), leaves, replace=False)], np.float32)
    for _ in range(iterations):
        parts = _parts(len(chosen), leaves)
        nearest = np.concatenate([_distances(chosen[part], centroids).argmin(axis=1) for part in parts])
        centroids = _means(chosen, nearest, centroids, random)
    return centroids


def assign(vectors: np.ndarray, centroids: np.ndarray, room: int) -> np.ndarray:
    """Gives each of float32 `[N, dim]` a near leaf, no leaf more than `room`: int32 `[N]`.

    In rounds: whoever has no leaf asks the next nearest; a leaf takes the nearest of those who ask.
    """
    choices, distances = _choices(vectors, centroids)
    leaf = np.full(len(vectors), -1, np.int32)
    left = np.full(len(centroids), room)
    for turn in range(choices.shape[1]):
        asking = np.flatnonzero(leaf < 0)
        _take(leaf, left, asking, choices[asking, turn], distances[asking, turn])
    while len(homeless := np.flatnonzero(leaf < 0)):
        free = np.flatnonzero(left > 0)
        some = homeless[: max(1, _DISTANCES // len(free))]
        apart = _distances(vectors[some], centroids[free])
        nearest = apart.argmin(axis=1)
        _take(leaf, left, some, free[nearest], apart[np.arange(len(some)), nearest])
    return leaf


def _take(leaf: np.ndarray, left: np.ndarray, asking: np.ndarray, asked: np.ndarray, distance: np.ndarray) -> None:
    """Writes into `leaf` who is taken, and into `left` how much room is left."""
    order = np.lexsort((distance, asked))
    groups = asked[order]
    first = np.searchsorted(groups, groups)  # where each group begins
    taken = order[np.arange(len(order)) - first < left[groups]]
    leaf[asking[taken]] = asked[taken]
    np.subtract.at(left, asked[taken], 1)


def _choices(vectors: np.ndarray, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest leaves of each vector and their squared distances `[N, choices]`, nearest first."""
    count = min(_CHOICES, len(centroids))
    choices = np.empty((len(vectors), count), np.int32)
    distances = np.empty((len(vectors), count), np.float32)
    for part in _parts(len(vectors), len(centroids)):
        nearness, near = tf.math.top_k(-_distances(vectors[part], centroids), count)
        choices[part], distances[part] = near, -nearness
    return choices, distances


def _distances(vectors: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Squared distances `[n, leaves]`."""
    apart = vectors @ centroids.T
    apart *= -2
    apart += np.square(centroids).sum(axis=1)
    apart += np.square(vectors).sum(axis=1)[:, None]
    return apart


def _parts(size: int, leaves: int) -> list[slice]:
    """Parts of so many rows that their distances to all leaves stay within some megabytes."""
    rows = max(1, _DISTANCES // leaves)
    return [slice(begin, begin + rows) for begin in range(0, size, rows)]


def _means(vectors: np.ndarray, nearest: np.ndarray, before: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The centroids of the nearest; an empty leaf moves to a vector drawn at random."""
    order = np.argsort(nearest, kind="stable")
    counts = np.bincount(nearest, minlength=len(before))
    held = np.flatnonzero(counts)
    starts = np.cumsum(counts) - counts
    means = np.array(vectors[random.choice(len(vectors), len(before))], np.float32)
    means[held] = np.add.reduceat(np.asarray(vectors)[order], starts[held], axis=0) / counts[held, None]
    return means
