"""Which rejected records are kept: all of a few, of many with one reason a sample that follows from the records."""

from __future__ import annotations

import hashlib

import apache_beam as beam
import orjson

_Key = tuple[str, str]  # stream, reason


class KeepRejected(beam.PTransform):
    """Rejected records -> (stream, lists of lines), of each reason no more than a limit."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def expand(self, rejected: beam.PCollection) -> beam.PCollection:
        return (
            rejected
            | "By reason" >> beam.Map(_by_reason)
            | "Keep of each reason" >> beam.combiners.Top.SmallestPerKey(self._limit)
            | "By stream" >> beam.Map(_by_stream)
            | "All of a stream" >> beam.GroupByKey()
        )


def _by_reason(record: dict[str, str]) -> tuple[_Key, tuple[bytes, bytes]]:
    line = orjson.dumps(record)
    return (record["stream"], record["reason"]), (hashlib.blake2b(line, digest_size=8).digest(), line)


def _by_stream(kept: tuple[_Key, list[tuple[bytes, bytes]]]) -> tuple[str, list[bytes]]:
    (stream, _), lines = kept
    return stream, [line for _, line in lines]
