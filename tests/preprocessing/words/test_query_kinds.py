"""Queries told apart by their words."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from preprocessing.text import analyser
from preprocessing.words.query_kinds import QueryKinds, Way, hashes_of_queries, hashes_of_words

_QUERIES = [b"", b"shoes", b"Red  SHOES", b"red trail shoes men", b"zzz shoes"]
_NOTHING = np.zeros(0, np.int64)


@pytest.mark.parametrize(
    ("way", "known", "expected"),
    [
        ("word_count", _NOTHING, [0, 0, 1, 2, 1]),
        ("new_words", hashes_of_words([b"shoes", b"red", b"trail", b"men"]), [0, 0, 0, 0, 1]),
        ("new_words", hashes_of_words([]), [0, 1, 1, 1, 1]),
        ("clicked", hashes_of_queries([b"red shoes", b"zzz", b"shoes red"], 256, 32), [0, 0, 1, 0, 0]),
        ("clicked", hashes_of_queries([], 256, 32), [0, 0, 0, 0, 0]),
    ],
)
def test_kinds(way: Way, known: np.ndarray, expected: list[int]) -> None:
    kinds = QueryKinds(way, known)
    words = analyser.analyse(tf.constant(_QUERIES), ["word"])["word"]
    assert kinds(words).numpy().tolist() == expected
    traced = tf.function(lambda texts: kinds(analyser.analyse(texts, ["word"])["word"]), autograph=False)
    alone = [traced(tf.constant([query])).numpy().tolist() for query in _QUERIES]
    assert alone == [[one] for one in expected]
