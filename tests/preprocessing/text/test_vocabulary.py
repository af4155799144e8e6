"""Strings to ids."""

from __future__ import annotations

import tensorflow as tf

from preprocessing.config import TextConfig
from preprocessing.joins.encode_strings import count_grains
from preprocessing.text import analyser
from preprocessing.text.vocabulary import Lookup, TextEncoder, Vocabulary


def ids(vocabulary: Vocabulary, words: list[str]) -> list[int]:
    return Lookup(vocabulary, "v")(tf.constant(words)).numpy().tolist()


def test_padding_then_buckets_then_words_in_order() -> None:
    vocabulary = Vocabulary(["sofa", "red"], hash_buckets=3)
    assert ids(vocabulary, ["", "sofa", "red"]) == [0, 4, 5]
    unknown = ids(vocabulary, ["lamp", "desk", "crib", "lamp"])
    assert all(1 <= one <= 3 for one in unknown)
    assert unknown[0] == unknown[3]
    assert vocabulary.size == 6


def test_an_empty_vocabulary_hashes_everything() -> None:
    vocabulary = Vocabulary([], hash_buckets=2)
    assert ids(vocabulary, ["", "a"]) == [0, ids(vocabulary, ["a"])[0]]
    assert 1 <= ids(vocabulary, ["a"])[0] <= 2


def test_the_encoder_is_the_analyser_and_the_lookups() -> None:
    vocabularies = {"char": Vocabulary(["e", "d"], 2), "word": Vocabulary(["red"], 5)}
    texts = tf.constant(["Red, red!", "", "desk"])
    encoded = TextEncoder(vocabularies, 10, 4)(texts)
    grains = analyser.analyse(texts, ("char", "word"), 10, 4)
    for name, vocabulary in vocabularies.items():
        expected = [ids(vocabulary, [gram.decode() for gram in row]) if row else [] for row in grains[name].to_list()]
        assert encoded[name].to_list() == expected
    assert encoded["word"].to_list()[0] == [6, 6]


def test_counts_are_weighted() -> None:
    counted = count_grains({"red sofa": 2, "red lamp": 3}, ("word",), TextConfig())
    assert counted == {("word", "red"): 5, ("word", "sofa"): 2, ("word", "lamp"): 3}
