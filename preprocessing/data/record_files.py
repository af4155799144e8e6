"""Record files whose content and order follow from the records alone.

Beam's own sinks deal records out to shards at random, and the same seed must give the same bytes.
"""

from __future__ import annotations

import itertools
import struct
import uuid
import zlib
from collections.abc import Iterable, Iterator

import apache_beam as beam
import google_crc32c
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from preprocessing.data.record_shards import Shard, ShardKey
from preprocessing.shuffle.packing import unpack
from preprocessing.shuffle.partitions import Dealing
from preprocessing.shuffle.split_late import split_late

_CRC_DELTA = 0xA282EAD8
_MIME = "application/octet-stream"
GZIP_LEVEL = 3
_RECORDS = "records"


def framed(record: bytes) -> bytes:
    """One record as a TFRecord file holds it."""
    length = struct.pack("<Q", len(record))
    return b"".join((length, _masked_crc(length), record, _masked_crc(record)))


def _masked_crc(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + _CRC_DELTA) & 0xFFFFFFFF)


def write_file(path: str, chunks: Iterable[bytes]) -> None:
    """Writes aside and renames, so that a killed or repeated attempt never leaves a half file."""
    aside = f"{path}.{uuid.uuid4().hex}.part"  # two attempts at once do not meet
    with FileSystems.create(aside, _MIME, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        for chunk in _gzipped(chunks) if path.endswith(".gz") else chunks:
            file.write(chunk)
    FileSystems.rename([aside], [path])


def _gzipped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """A quicker level than Beam's: records of ids gain little from more; no time stamp, so equal in is equal out."""
    compressor = zlib.compressobj(level=GZIP_LEVEL, wbits=zlib.MAX_WBITS | 16)
    for chunk in chunks:
        yield compressor.compress(chunk)
    yield compressor.flush()


class WriteShard(beam.DoFn):
    """(shard, packed (order, record) pairs) -> one TFRecord file, records in order, sorting a range at a time.

    Gives its path, and how many records it holds.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def process(self, element: tuple[ShardKey, Iterable[bytes]]) -> Iterator[tuple[str, int]]:
        key, batches = element
        shard, written = Shard(*key), itertools.count()
        path = FileSystems.join(self._folder, shard.file_name)
        write_file(path, (framed(record) for record, _ in zip(_in_order(shard, batches), written, strict=False)))
        yield path, next(written)


def _in_order(shard: Shard, batches: Iterable[bytes]) -> Iterator[bytes]:
    ranges = Dealing(shard.ranges, keys=1)
    sided = ((_RECORDS, batch) for batch in batches)
    for _, sides in split_late(0, sided, ranges, {_RECORDS: lambda record: (shard.range_of(record[0]),)}):
        ordered = sorted(record for batch in sides.get(_RECORDS, ()) for record in unpack(tuple, batch))
        yield from (record for _, record in ordered)


class WriteRejected(beam.DoFn):
    """(stream, lists of lines) -> one file of rejected records, in order."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def process(self, element: tuple[str, Iterable[list[bytes]]]) -> Iterator[str]:
        stream, lists = element
        path = FileSystems.join(self._folder, f"rejected-{stream}.jsonl")
        write_file(path, (line + b"\n" for line in sorted(itertools.chain.from_iterable(lists))))
        yield path
