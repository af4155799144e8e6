"""ScaNN's op behind the contract of an index."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from serving.config import ScannConfig
from serving.index.base import NO_SCORE, Effort
from serving.index.scann import build_scann

pytest.importorskip("scann")


def test_a_search_that_opens_a_leaf_of_few_items_is_as_wide_as_any() -> None:
    """The op itself is as wide as its fullest row."""
    vectors = np.random.default_rng(1).normal(size=(400, 16)).astype(np.float32)
    index = build_scann(vectors, ScannConfig(exact_below=0, leaves=200), "few")
    scores, rows = index.search(tf.constant(vectors[:1]), Effort(10, 1, 10))
    assert scores.shape == rows.shape == (1, 10)
    found = rows.numpy()[0] >= 0
    assert 0 < found.sum() < 10
    assert np.all((scores.numpy()[0] != NO_SCORE) == found)
