"""Vocabularies from day to day: what was known keeps its place, what is new comes behind it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import apache_beam as beam

from preprocessing.config_vocabularies import VocabulariesConfig

_Sides = tuple[str, Mapping[str, Iterable[Sequence[str]]]]


class GrowVocabularies(beam.PTransform):
    """{"known": (name, words), "found": (name, words)} -> (name, words), those of "found" by their counts so far."""

    def __init__(self, config: VocabulariesConfig) -> None:
        super().__init__()
        self._max_size = {name: getattr(config, name).max_size for name in type(config).model_fields}

    def expand(self, sides: Mapping[str, beam.PCollection]) -> beam.PCollection:
        return sides | "Known and found" >> beam.CoGroupByKey() | "Grow" >> beam.FlatMap(_grow, self._max_size)


def _grow(element: _Sides, max_size: Mapping[str, int]) -> Iterator[tuple[str, list[str]]]:
    name, sides = element
    known, found = ([word for words in sides[side] for word in words] for side in ("known", "found"))
    yield name, grown(known, found, max_size[name])


def grown(known: Sequence[str], found: Sequence[str], max_size: int) -> list[str]:
    """The known, and behind them as many of the found as there is room for."""
    before = set(known)
    new = (word for word in found if word not in before)
    return [*known, *(word for word, _ in zip(new, range(max_size - len(known)), strict=False))]
