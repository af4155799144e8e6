"""The arrays of several requests as those of one batch, and its outputs apart again."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

Arrays = list[np.ndarray]


def merged(requests: Sequence[Arrays], padding: int) -> Arrays:
    """`[rows, ...]` of each input, then as many copies of the first row as a batch of an allowed size lacks."""
    columns = zip(*requests, strict=True)
    return [np.concatenate([*parts, *itertools.repeat(parts[0][:1], padding)]) for parts in columns]


def split(outputs: Arrays, rows: Sequence[int]) -> list[Arrays]:
    """Each request's rows of the outputs."""
    ends = list(itertools.accumulate(rows))
    return [[array[end - count : end] for array in outputs] for count, end in zip(rows, ends, strict=True)]
