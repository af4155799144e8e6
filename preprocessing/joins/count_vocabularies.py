"""Vocabularies by count: summed, cut at a minimum, the most frequent kept, ties in the order of the strings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems

from preprocessing.config import VocabulariesConfig, VocabularyConfig
from preprocessing.data.record_files import write_file

QUERY = "query"  # counted like a vocabulary, for the statistics alone
Token = tuple[tuple[str, str], int]  # ((vocabulary, token), count)


def _rank(counted: tuple[str, int]) -> tuple[int, str]:
    token, count = counted
    return -count, token


def _is_query(token: Token) -> bool:
    return token[0][0] == QUERY


def _query_frequency(token: Token) -> tuple[tuple[str, ...], int]:
    return ("frequency", "query", str(token[1])), 1


class MostFrequent(beam.PTransform):
    """Tokens -> (vocabulary, its words)."""

    def __init__(self, config: VocabulariesConfig) -> None:
        super().__init__()
        self._config = {name: getattr(config, name) for name in VocabulariesConfig.model_fields}

    def expand(self, tokens: beam.PCollection) -> beam.PCollection:
        limits, largest = self._config, max(one.max_size for one in self._config.values())
        return (
            tokens
            | "Often enough" >> beam.FlatMap(_often_enough, limits)
            | "Most frequent" >> beam.combiners.Top.PerKey(largest, key=_rank, reverse=True)
            | "Words alone" >> beam.Map(_words, limits)
        )


def _often_enough(token: Token, limits: dict[str, VocabularyConfig]) -> Iterator[tuple[str, tuple[str, int]]]:
    (name, word), count = token
    if count >= limits[name].min_count:
        yield name, (word, count)


def _words(named: tuple[str, list[tuple[str, int]]], limits: dict[str, VocabularyConfig]) -> tuple[str, list[str]]:
    name, ranked = named
    return name, [word for word, _ in ranked[: limits[name].max_size]]


class CountTokens(beam.PTransform):
    """Token counts of all partitions -> vocabularies, and how often queries occur."""

    def __init__(self, config: VocabulariesConfig) -> None:
        super().__init__()
        self._config = config

    def expand(self, tokens: beam.PCollection) -> tuple[beam.PCollection, beam.PCollection]:
        summed = tokens | "Sum tokens" >> beam.CombinePerKey(sum)
        frequencies = summed | "Queries" >> beam.Filter(_is_query) | "Query frequency" >> beam.Map(_query_frequency)
        words = summed | "Vocabularies" >> beam.Filter(_is_word) | MostFrequent(self._config)
        return words, frequencies


def _is_word(token: Token) -> bool:
    return not _is_query(token)


class WriteVocabulary(beam.DoFn):
    """(name, words) -> `<name>.txt`."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def process(self, element: tuple[str, Iterable[str]]) -> Iterator[Any]:
        name, words = element
        path = FileSystems.join(self._folder, f"vocab-{name}.txt")
        write_file(path, (f"{word}\n".encode() for word in words))
        yield path
