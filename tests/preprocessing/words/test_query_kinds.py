"""Queries told apart by their words."""

from __future__ import annotations

import pytest
import tensorflow as tf

from preprocessing.text import analyser
from preprocessing.words.query_kinds import Way, ways_to_tell

_QUERIES = [b"", b"shoes", b"Red  SHOES", b"red trail shoes men", b"zzz shoes"]


@pytest.mark.parametrize(
    ("way", "known", "clicked", "expected"),
    [
        ("word_count", [], [], [0, 0, 1, 2, 1]),
        ("new_words", [b"shoes", b"red", b"trail", b"men"], [], [0, 0, 0, 0, 1]),
        ("new_words", [], [b"shoes"], [0, 1, 1, 1, 1]),
        ("clicked", [b"zzz"], [b"red shoes", b"zzz", b"shoes red", b"red, shoes"], [0, 0, 1, 0, 0]),
        ("clicked", [], [], [0, 0, 0, 0, 0]),
    ],
)
def test_kinds(way: Way, known: list[bytes], clicked: list[bytes], expected: list[int]) -> None:
    kinds = ways_to_tell(known, clicked, 256, 32)[way]
    assert kinds.of_texts(_QUERIES, 256, 32).tolist() == expected
    traced = tf.function(lambda texts: kinds(analyser.analyse(texts, ["word"])["word"]), autograph=False)
    alone = [traced(tf.constant([query])).numpy().tolist() for query in _QUERIES]
    assert alone == [[one] for one in expected]
