"""Vectors in a quarter of their bytes: each component in steps of a 127th of the largest of its column."""

from __future__ import annotations

import numpy as np

_BLOCK = 65_536


def multipliers_of(vectors: np.ndarray) -> np.ndarray:
    """Steps to one, float32 `[dim]`, that vectors `[N, dim]` just fit."""
    largest = np.maximum(vectors.max(axis=0), -vectors.min(axis=0))
    return (127 / np.maximum(largest, np.finfo(np.float32).tiny)).astype(np.float32)


def quantised(vectors: np.ndarray, multipliers: np.ndarray) -> np.ndarray:
    """Vectors `[N, dim]` in steps, int8."""
    steps: np.ndarray = np.empty(vectors.shape, np.int8)
    for begin in range(0, len(vectors), _BLOCK):
        np.rint(vectors[begin : begin + _BLOCK] * multipliers, out=steps[begin : begin + _BLOCK], casting="unsafe")
    return steps
