"""What is summed from day to day: words of queries, clicks by position, hours of searches."""

from __future__ import annotations

from typing import Any

import apache_beam as beam

from preprocessing.data.past_files import Past
from preprocessing.data.stats import POSITION
from preprocessing.joins.split import MergeHours


class SumPast(beam.PTransform):
    """{"tokens", "counts", "hours"} of today, beside those of the past -> the same three of both."""

    def __init__(self, past: Past) -> None:
        super().__init__()
        self._past = past

    def expand(self, today: dict[str, beam.PCollection]) -> dict[str, beam.PCollection]:
        past = self._past
        positions = today["counts"] | "Positions" >> beam.Filter(_is_position)
        hours = (today["hours"], past.hours) | "All hours" >> beam.Flatten()
        return {
            "tokens": (today["tokens"], past.tokens)
            | "All words" >> beam.Flatten()
            | "Sum words" >> beam.CombinePerKey(sum),
            "counts": (positions, past.counts)
            | "All positions" >> beam.Flatten()
            | "Sum positions" >> beam.CombinePerKey(sum),
            "hours": hours | "Merge hours" >> beam.CombineGlobally(MergeHours()) | beam.FlatMap(dict.items),
        }


def _is_position(counted: tuple[tuple[str, ...], Any]) -> bool:
    return counted[0][0] == POSITION
