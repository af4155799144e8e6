"""Reads text files by the block of lines: to hand on each line alone would cost more than to parse it."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from typing import IO, NamedTuple, cast

import apache_beam as beam
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

_SPAN = 4 << 20  # bytes of a text that are read in one go: workers share even one file
_REST = 64 << 10


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
                found = whole(gzip.GzipFile(fileobj=raw)) if path.endswith(".gz") else [within(raw, span)]
                for lines in found:
                    yield path, [line.rstrip(b"\r") for line in lines if line.strip()]
        except (EOFError, OSError, zlib.error) as error:
            raise OSError(f"{path}: {error}") from error


def whole(file: gzip.GzipFile) -> Iterator[list[bytes]]:
    """All lines, in blocks."""
    rest = b""
    while text := file.read(_SPAN):
        *lines, rest = (rest + text).split(b"\n")
        yield lines
    yield [rest]


def within(raw: IO[bytes], span: Span) -> list[bytes]:
    """The lines that begin in a span."""
    file = io.BufferedReader(cast(io.RawIOBase, raw))  # a read of it gives as much as it is asked for
    before = min(span.begin, 1)  # the byte that tells whether a line begins with the span
    file.seek(span.begin - before)
    text = file.read(span.end - span.begin + before)
    while not text.endswith(b"\n") and (more := file.read(_REST)):
        end = more.find(b"\n")
        text += more if end < 0 else more[: end + 1]
    return text.split(b"\n")[before:]
