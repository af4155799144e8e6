"""Vocabularies by count."""

from __future__ import annotations

import random

import apache_beam as beam
from apache_beam.testing.util import assert_that, equal_to
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocessing.command.runners import beam_options, runner_of
from preprocessing.config_vocabularies import VocabulariesConfig, VocabularyConfig
from preprocessing.joins.count_vocabularies import CountTokens, MostFrequent


def test_most_frequent_first_ties_by_string() -> None:
    config = VocabulariesConfig(word=VocabularyConfig(max_size=3, min_count=2))
    words = {"b": 2, "a": 2, "rare": 1, "most": 9, "z": 2}
    tokens = [(("word", word), 1) for word, count in words.items() for _ in range(count)]
    tokens += [(("brand", "x"), 4)]
    options = beam_options([], [], 0)
    with beam.Pipeline(runner=runner_of(options), options=options) as pipeline:
        vocabularies = pipeline | beam.Create(tokens) | CountTokens(config)
        assert_that(vocabularies, equal_to([("word", ["most", "a", "b"]), ("brand", ["x"])]))


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(st.text(max_size=3), st.integers(1, 5), min_size=1, max_size=40),
    st.integers(1, 10),
    st.integers(1, 6),
    st.randoms(),
)
def test_each_is_cut_at_its_own_limit_in_any_order(
    words: dict[str, int], limit: int, workers: int, shuffle: random.Random
) -> None:
    combine = MostFrequent({"brand": 1_000, "word": limit})
    drawn = [("word", word, count) for word, count in words.items()]
    shuffle.shuffle(drawn)
    accumulators = [combine.create_accumulator() for _ in range(workers)]
    for place, counted in enumerate(drawn):
        accumulators[place % workers] = combine.add_input(accumulators[place % workers], counted)
        assert len(accumulators[place % workers][1]) < max(2 * limit, 2)  # what a worker holds is bounded too
    kept = combine.extract_output(combine.merge_accumulators(accumulators))
    assert kept == sorted(words, key=lambda word: (-words[word], word))[:limit]
