"""How often queries are asked, from a sample of the different ones: raw queries are not moved for a statistic.

The sample is of those with the smallest hashes, each with all its occurrences. A log with fewer different queries is
counted whole. Beam's ApproximateUnique says how many there are and its Top which are frequent, but neither how frequent
the others are.
"""

from __future__ import annotations

import collections
import hashlib
import marshal
from collections.abc import Iterable, Iterator, Mapping

import apache_beam as beam

from preprocessing.data.stats import FREQUENCY, SAMPLED

QUERY = "query"
QUERIES = "queries"
_KEPT = 1 << 14  # queries: shares are within a percent
_HASHES = 1 << 64
Sample = dict[int, int]  # hash -> how often


class SketchQueries(beam.PTransform):
    """Sketches of many workers -> rows of counts: the sampled frequencies, and what the sample stands for."""

    def expand(self, sketches: beam.PCollection) -> beam.PCollection:
        return (
            sketches | "Merge sketches" >> beam.CombineGlobally(MergeSketches()) | "Frequencies" >> beam.FlatMap(_rows)
        )


def sketch_of(queries: Mapping[str, int]) -> bytes:
    """The sketch of queries that were asked so often."""
    sample = {_hash(query): count for query, count in queries.items()}
    return marshal.dumps((sum(queries.values()), _smallest(sample)))


class MergeSketches(beam.CombineFn):
    """The sketch of all queries."""

    def create_accumulator(self) -> bytes:
        return sketch_of({})

    def add_input(self, accumulator: bytes, sketch: bytes) -> bytes:
        return self.merge_accumulators([accumulator, sketch])

    def merge_accumulators(self, accumulators: Iterable[bytes]) -> bytes:
        occurrences, merged = 0, collections.Counter[int]()
        for accumulator in accumulators:
            some, sample = marshal.loads(accumulator)
            occurrences += some
            merged.update(sample)
            merged = collections.Counter(_smallest(merged))
        return marshal.dumps((occurrences, dict(merged)))

    def extract_output(self, accumulator: bytes) -> bytes:
        return accumulator


def _hash(query: str) -> int:
    return int.from_bytes(hashlib.blake2b(query.encode(), digest_size=8).digest(), "big")


def _smallest(sample: Sample) -> Sample:
    return dict(sample) if len(sample) <= _KEPT else {key: sample[key] for key in sorted(sample)[:_KEPT]}


def _rows(sketch: bytes) -> Iterator[tuple[tuple[str, ...], int]]:
    occurrences, sample = marshal.loads(sketch)
    for count, queries in collections.Counter(sample.values()).items():
        yield (FREQUENCY, QUERY, str(count)), queries
    if len(sample) == _KEPT:
        yield (SAMPLED, QUERY, "distinct"), round((_KEPT - 1) * _HASHES / max(sample))
        yield (SAMPLED, QUERY, "occurrences"), occurrences
