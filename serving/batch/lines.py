"""Reads text files by the block of lines: to hand on each line alone would cost more than to parse it."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from typing import IO, NamedTuple

import apache_beam as beam
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

_SPAN = 4 << 20  # bytes that are read in one go: workers share even one file
_BLOCK = 1 << 20  # bytes of lines that are handed on together


class Span(NamedTuple):
    """The lines of a file that begin in `[begin, end)`."""

    path: str
    begin: int
    end: int


def spans(path: str) -> Iterator[Span]:
    """A file in spans; one that is gzipped can be read from its beginning alone."""
    size = FileSystems.match([path])[0].metadata_list[0].size_in_bytes
    step = size if path.endswith(".gz") else _SPAN
    for begin in range(0, size, max(step, 1)):
        yield Span(path, begin, begin + step)


class ReadLines(beam.DoFn):
    """Span -> (path, lines), blank ones left out."""

    def process(self, span: Span) -> Iterator[tuple[str, list[bytes]]]:
        path = span.path
        try:
            with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as raw:
                found = whole(gzip.GzipFile(fileobj=raw)) if path.endswith(".gz") else within(raw, span)
                for lines in found:
                    yield path, [line.rstrip(b"\r\n") for line in lines if line.strip()]
        except (EOFError, OSError, zlib.error) as error:
            raise OSError(f"{path}: {error}") from error


def whole(file: gzip.GzipFile) -> Iterator[list[bytes]]:
    """All lines, in blocks."""
    while lines := file.readlines(_BLOCK):
        yield lines


def within(file: IO[bytes], span: Span) -> Iterator[list[bytes]]:
    """The lines that begin in a span, in blocks."""
    place = max(span.begin - 1, 0)
    file.seek(place)
    if span.begin:
        place += len(file.readline())  # the rest of a line that begins before it
    while place < span.end and (lines := file.readlines(min(_BLOCK, span.end - place))):
        yield lines
        place += sum(map(len, lines))
