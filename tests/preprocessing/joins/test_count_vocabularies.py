"""Vocabularies by count."""

from __future__ import annotations

import apache_beam as beam
from apache_beam.testing.util import assert_that, equal_to

from preprocessing.command.runners import beam_options, runner_of
from preprocessing.config import VocabulariesConfig, VocabularyConfig
from preprocessing.joins.count_vocabularies import CountTokens


def test_most_frequent_first_ties_by_string() -> None:
    config = VocabulariesConfig(word=VocabularyConfig(max_size=3, min_count=2))
    words = {"b": 2, "a": 2, "rare": 1, "most": 9, "z": 2}
    tokens = [(("word", word), 1) for word, count in words.items() for _ in range(count)]
    tokens += [(("brand", "x"), 4), (("query", "sofa"), 3), (("query", "lamp"), 3), (("query", "bed"), 1)]
    options = beam_options([], [], 0)
    with beam.Pipeline(runner=runner_of(options), options=options) as pipeline:
        vocabularies, frequencies = pipeline | beam.Create(tokens) | CountTokens(config)
        assert_that(vocabularies, equal_to([("word", ["most", "a", "b"]), ("brand", ["x"])]), label="words")
        summed = frequencies | beam.CombinePerKey(sum)
        assert_that(summed, equal_to([(("frequency", "query", "3"), 2), (("frequency", "query", "1"), 1)]))
