"""Vocabularies by count: summed, cut at a minimum, the most frequent kept, ties in the order of the strings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import apache_beam as beam

from preprocessing.config_vocabularies import VocabulariesConfig, VocabularyConfig

Token = tuple[tuple[str, str], int]  # ((vocabulary, word), count)
_Ranked = tuple[str, list[tuple[int, str]]]  # a vocabulary's name; (-count, word), so that smaller is better


class CountTokens(beam.PTransform):
    """Token counts of all partitions -> (vocabulary, its words)."""

    def __init__(self, config: VocabulariesConfig) -> None:
        super().__init__()
        self._limits: dict[str, VocabularyConfig] = {name: getattr(config, name) for name in type(config).model_fields}

    def expand(self, tokens: beam.PCollection) -> beam.PCollection:
        return (
            tokens
            | "Sum tokens" >> beam.CombinePerKey(sum)
            | "Often enough" >> beam.FlatMap(_often_enough, self._limits)
            | "Most frequent"
            >> beam.CombinePerKey(MostFrequent({name: one.max_size for name, one in self._limits.items()}))
        )


class MostFrequent(beam.CombineFn):
    """(vocabulary, word, count) -> its words, no more than it may have: Beam's Top has one limit for all."""

    def __init__(self, max_size: Mapping[str, int]) -> None:
        self._max_size = dict(max_size)

    def create_accumulator(self) -> _Ranked:
        return "", []

    def add_input(self, accumulator: _Ranked, counted: tuple[str, str, int]) -> _Ranked:
        name, word, count = counted
        ranked = accumulator[1]
        ranked.append((-count, word))
        if len(ranked) >= 2 * self._max_size[name]:
            ranked = self._best(name, ranked)
        return name, ranked

    def merge_accumulators(self, accumulators: Iterable[_Ranked]) -> _Ranked:
        merged: _Ranked = self.create_accumulator()
        for name, ranked in accumulators:
            if ranked:
                merged = name, self._best(name, merged[1] + ranked)
        return merged

    def extract_output(self, accumulator: _Ranked) -> list[str]:
        name, ranked = accumulator
        return [word for _, word in self._best(name, ranked)] if ranked else []

    def _best(self, name: str, ranked: list[tuple[int, str]]) -> list[tuple[int, str]]:
        return sorted(ranked)[: self._max_size[name]]


def _often_enough(token: Token, limits: Mapping[str, VocabularyConfig]) -> Iterator[tuple[str, tuple[str, str, int]]]:
    (name, word), count = token
    if count >= limits[name].min_count:
        yield name, (name, word, count)
