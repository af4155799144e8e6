"""Record files whose content and order follow from the records alone.

Beam's own sinks deal records out to shards at random, and the same seed must give the same bytes.
"""

from __future__ import annotations

import hashlib
import struct
import uuid
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import google_crc32c
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from preprocessing.shuffle.packing import unpack

ShardKey = tuple[str, int, int]  # name, shard, shards
_CRC_DELTA = 0xA282EAD8
_MIME = "application/octet-stream"
GZIP_LEVEL = 3


def order_key(seed: int, key: str) -> bytes:
    """Where a record comes in its file: a shuffle that a seed decides."""
    return hashlib.blake2b(key.encode(), digest_size=8, key=str(seed).encode()).digest()


def shard_of(name: str, order: bytes, shards: int) -> ShardKey:
    """The shard a record goes to."""
    return name, int.from_bytes(order[-2:], "little") % shards, shards


def file_name(key: ShardKey) -> str:
    """As in `train-00002-of-00008.tfrecord.gz`."""
    name, shard, shards = key
    return f"{name}-{shard:05d}-of-{shards:05d}.tfrecord.gz"


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
    """(shard, packed (order, record) pairs) -> one TFRecord file, records in order."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def process(self, element: tuple[ShardKey, Iterable[bytes]]) -> Iterator[Any]:
        key, batches = element
        records = sorted(record for batch in batches for record in unpack(tuple, batch))
        path = FileSystems.join(self._folder, file_name(key))
        write_file(path, (framed(record) for _, record in records))
        yield path


class WriteRejected(beam.DoFn):
    """(shard, lines) -> one file of rejected records, in order."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def process(self, element: tuple[tuple[str, int], Iterable[bytes]]) -> Iterator[Any]:
        (stream, shard), lines = element
        path = FileSystems.join(self._folder, f"rejected-{stream}-{shard:05d}.jsonl")
        write_file(path, (line + b"\n" for line in sorted(lines)))
        yield path
