"""How much a raw file holds as plain records, measured on its beginning: a worker holds more than a disk does."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import IO, Any

import orjson
import pyarrow.parquet
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from preprocessing.logs.arrow_rows import rows
from preprocessing.logs.avro_blocks import AVRO, BROKEN, first_block
from preprocessing.logs.read_blocks import COMPRESSED, PARQUET, unfolded

_HEAD = 1 << 20  # bytes of a compressed file
_ROWS = 1_000  # of a Parquet file
_READ = 1 << 20


def growth(path: str, size: int, columns: Sequence[str] | None) -> float:
    """How many bytes of plain JSON a byte of a file of `size` bytes stands for; 1.0 where that cannot be told.

    Args:
      path: of the file.
      size: of the file.
      columns: those of a Parquet file that are read; None: all.
    """
    if not size or not path.endswith((PARQUET, AVRO, *COMPRESSED)):
        return 1.0
    try:
        with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as raw:
            if path.endswith(PARQUET):
                return _bytes_of_rows(pyarrow.parquet.ParquetFile(raw, buffer_size=_READ), columns) / size
            if path.endswith(AVRO):
                return _a_byte_of_avro(raw)
            head = raw.read(_HEAD)
    except (*BROKEN, OSError, pyarrow.ArrowException):  # `sniff` tells of it
        return 1.0
    return _length(path, head) / len(head) or 1.0


def _a_byte_of_avro(raw: IO[bytes]) -> float:
    """Of its first block, which is closed after some kilobytes of records."""
    size, records = first_block(raw)
    return _as_json(records) / size if size else 1.0


def _as_json(records: Iterable[Any]) -> int:
    return sum(len(orjson.dumps(record, default=repr)) + 1 for record in records)


def _length(path: str, head: bytes) -> int:
    """How long the beginning of a compressed file is when it is unfolded; where it is cut off is no matter."""
    length = 0
    try:
        file = unfolded(path, io.BytesIO(head))
        while text := file.read(_READ):
            length += len(text)
    except (EOFError, OSError):
        pass
    return length


def _bytes_of_rows(file: pyarrow.parquet.ParquetFile, columns: Sequence[str] | None) -> float:
    batch = next(file.iter_batches(batch_size=_ROWS, columns=columns), None)
    if batch is None or not len(batch):
        return 0.0
    return _as_json(rows(batch)) / len(batch) * file.metadata.num_rows
