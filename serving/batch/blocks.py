"""Rows by the block: Arrow's columns, so that behind the parser no step touches a single row."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow
import pyarrow.compute

from serving.batch.rows import LISTS, Row
from serving.inputs import ITEM_INPUTS

ID, CONTENT = "id", "content_hash"
HASH = pyarrow.binary(16)
_TEXT, _TEXTS = pyarrow.string(), pyarrow.list_(pyarrow.string())
_KEY = [(ID, _TEXT), (CONTENT, HASH)]
ITEMS = pyarrow.schema([*_KEY, *((name, _TEXT) for name in ITEM_INPUTS)])
QUERIES = pyarrow.schema([*_KEY, ("query", _TEXT), ("k", pyarrow.int32()), *((name, _TEXTS) for name in LISTS)])
_SQUEEZED, _PLAIN = (pyarrow.ipc.IpcWriteOptions(compression=one) for one in ("lz4", None))

Block = tuple[int, int, bytes]  # (shard, rows, the rows as Arrow's stream): what every coder and every worker knows


def by_shard(rows: Sequence[Row], schema: pyarrow.Schema, shards: int) -> Iterator[tuple[int, bytes]]:
    """Rows -> (shard, packed rows); the shard of an id is the same in every run."""
    ids, contents, values = zip(*rows, strict=True)
    columns = [ids, contents, *zip(*values, strict=True)]
    arrays = [pyarrow.array(column, kind) for column, kind in zip(columns, schema.types, strict=True)]
    table = pyarrow.Table.from_arrays(arrays, schema=schema)
    shard = np.array([zlib.crc32(one.encode()) % shards for one in ids])
    order = np.argsort(shard, kind="stable")
    ordered, begins = table.take(order), np.searchsorted(shard[order], np.arange(shards + 1))
    for number, (begin, end) in enumerate(itertools.pairwise(begins.tolist())):
        if begin < end:
            yield number, pack(ordered.slice(begin, end - begin), _SQUEEZED)


def pack(table: pyarrow.Table, options: pyarrow.ipc.IpcWriteOptions = _PLAIN) -> bytes:
    """A table as bytes."""
    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, table.schema, options=options) as stream:
        stream.write(table)
    return sink.getvalue().to_pybytes()


def unpack(packed: Iterable[bytes]) -> pyarrow.Table:
    """The rows of one or more `pack`s."""
    return pyarrow.concat_tables([pyarrow.ipc.open_stream(one).read_all() for one in packed])


def blocks(shard: int, table: pyarrow.Table, size: int) -> Iterator[Block]:
    """A table in blocks of `size` rows at most."""
    for begin in range(0, len(table), size):
        part = table.slice(begin, size)
        yield shard, len(part), pack(part)


def strings(column: pyarrow.ChunkedArray) -> np.ndarray:
    """A column of N texts -> bytes `[N]`, as TensorFlow takes them."""
    return column.cast(pyarrow.binary()).to_numpy()


def padded(column: pyarrow.ChunkedArray, width: int) -> np.ndarray:
    """A column of N lists -> bytes `[N, width]`, cut or filled up with empty ones."""
    lists = column.combine_chunks()
    found = np.full((len(lists), width), b"", object)
    offsets = lists.offsets.to_numpy()
    counts = np.minimum(np.diff(offsets), width)
    row = np.repeat(np.arange(len(lists)), counts)
    place = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    values = lists.values.cast(pyarrow.binary()).to_numpy(zero_copy_only=False)
    found[row, place] = values[offsets[:-1][row] + place]
    return found


def lengths(column: pyarrow.ChunkedArray) -> np.ndarray:
    """How long each list of a column is, int `[N]`."""
    return pyarrow.compute.list_value_length(column).to_numpy()
