"""Reads files by the block of records, each with its place: to hand on a line alone would cost more than to parse it.

Beam's own readers give lines without their place in the file, and take a gzip file that breaks off for a whole one.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import zlib
from collections.abc import Iterable, Iterator
from typing import IO, NamedTuple, cast

import apache_beam as beam
import pyarrow
import pyarrow.parquet
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

PARQUET = ".parquet"
COMPRESSED = (".gz", ".bz2")
_SPAN = 4 << 20  # bytes of a text that are read in one go: workers share even one file
_ROWS = 4_096  # of a Parquet file that are read in one go
_REST = 64 << 10


class Span(NamedTuple):
    """A part of a file: the lines that begin in these bytes, or these row groups of a Parquet file."""

    path: str
    begin: int
    end: int


class Block(NamedTuple):
    """Records that lie one behind the other in a file."""

    path: str
    place: int  # of the first; each further one's is higher by one, and none of a later block is lower
    records: list[bytes] | pyarrow.RecordBatch


class ReadBlocks(beam.PTransform):
    """Paths -> blocks of their records."""

    def expand(self, paths: beam.PCollection) -> beam.PCollection:
        return paths | "Spans" >> beam.FlatMap(spans) | beam.Reshuffle() | "Read spans" >> beam.FlatMap(blocks)


def spans(path: str) -> Iterator[Span]:
    """A file in spans; a compressed one can be read from its beginning alone."""
    found = FileSystems.match([path])[0].metadata_list
    if not found:
        raise OSError(f"{path}: it was there when the job began, and is gone")
    size = found[0].size_in_bytes
    if path.endswith(PARQUET):
        with FileSystems.open(path) as file:
            size, step = pyarrow.parquet.ParquetFile(file).num_row_groups, 1
    else:
        step = max(size, 1) if path.endswith(COMPRESSED) else _SPAN
    for begin in range(0, size, step):
        yield Span(path, begin, begin + step)


def blocks(span: Span) -> Iterator[Block]:
    """The records of a span, blank lines left out."""
    path = span.path
    try:
        with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as raw:
            if path.endswith(PARQUET):
                yield from _row_group(raw, span)
            elif path.endswith(COMPRESSED):
                unpacked = gzip.GzipFile(fileobj=raw) if path.endswith(".gz") else bz2.BZ2File(raw)
                yield from _numbered(path, 0, _whole(cast(IO[bytes], unpacked)))
            else:
                yield from _numbered(path, span.begin, [_within(raw, span)])
    except (EOFError, OSError, zlib.error, pyarrow.ArrowInvalid) as error:
        raise OSError(f"{path}: {error}") from error


def _numbered(path: str, place: int, parts: Iterable[list[bytes]]) -> Iterator[Block]:
    for part in parts:
        if place == 0 and part:
            part[0] = part[0].removeprefix(codecs.BOM_UTF8)
        lines = [line.rstrip(b"\r") for line in part if line.strip()]
        if lines:
            yield Block(path, place, lines)
        place += len(part)


def _whole(file: IO[bytes]) -> Iterator[list[bytes]]:
    """All lines of a compressed file, in blocks."""
    rest = b""
    while text := file.read(_SPAN):
        *lines, rest = (rest + text).split(b"\n")
        yield lines
    yield [rest]


def _within(raw: IO[bytes], span: Span) -> list[bytes]:
    """The lines that begin in a span."""
    file = io.BufferedReader(cast(io.RawIOBase, raw))  # a read of it gives as much as it is asked for
    before = min(span.begin, 1)  # the byte that tells whether a line begins with the span
    file.seek(span.begin - before)
    text = file.read(span.end - span.begin + before)
    while not text.endswith(b"\n") and (more := file.read(_REST)):
        end = more.find(b"\n")
        text += more if end < 0 else more[: end + 1]
    return text.split(b"\n")[before:]


def _row_group(raw: IO[bytes], span: Span) -> Iterator[Block]:
    file = pyarrow.parquet.ParquetFile(raw)
    place = sum(file.metadata.row_group(group).num_rows for group in range(span.begin))
    for batch in file.iter_batches(batch_size=_ROWS, row_groups=[span.begin]):
        yield Block(span.path, place, batch)
        place += len(batch)
