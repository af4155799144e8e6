"""What a batch job is asked: one row an item or a query, parsed one by one, then moved in blocks of Arrow's columns."""

from __future__ import annotations

import hashlib
import itertools
import math
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson
import pyarrow
import pyarrow.compute

from preprocessing.data.features import VECTOR
from preprocessing.logs.records import Excluded, Rejected, optional_identifier, parse_item
from serving.inputs import FILTER_LISTS, ITEM_INPUTS, PRICE_RANGE, VECTOR_LISTS

LISTS = (*VECTOR_LISTS, *FILTER_LISTS)
ID, CONTENT = "id", "content_hash"
HASH = pyarrow.binary(16)
_TEXT, _TEXTS = pyarrow.string(), pyarrow.list_(pyarrow.string())
_KEY = [(ID, _TEXT), (CONTENT, HASH)]
_PRICES = pyarrow.list_(pyarrow.float32(), 2)
QUERIES = pyarrow.schema(
    [*_KEY, ("query", _TEXT), ("k", pyarrow.int32()), *((name, _TEXTS) for name in LISTS), (PRICE_RANGE, _PRICES)]
)
_SQUEEZED, _PLAIN = (pyarrow.ipc.IpcWriteOptions(compression=one) for one in ("lz4", None))

Block = tuple[int, int, bytes]  # (shard, rows, the rows as Arrow's stream): what every coder and every worker knows


class Row(NamedTuple):
    """One item or query."""

    id: str
    content: bytes  # a hash [16]: equal content is answered alike
    values: tuple[Any, ...]  # in the order of the job's columns


def content_hash(values: Sequence[bytes]) -> bytes:
    """16 bytes of an item's inputs, in the order of `item_inputs`; a vector by its bytes."""
    lengths_of = struct.pack(f"<{len(values)}I", *map(len, values))
    return hashlib.blake2b(b"".join((lengths_of, *values)), digest_size=16).digest()


def item_schema(vector_width: int) -> pyarrow.Schema:
    """Of what ItemRow reads."""
    vector = [(VECTOR, pyarrow.binary(4 * vector_width))] if vector_width else []
    return pyarrow.schema([*_KEY, *((name, _TEXT) for name in ITEM_INPUTS), *vector])


class ItemRow:
    """Reads a catalogue record; one that is out of stock is left out, as it is from the index."""

    def __init__(self, vector_width: int) -> None:
        self._width = vector_width

    def __call__(self, fields: Mapping[str, Any]) -> Row:
        item = parse_item(fields, vector_width=self._width)
        if not item.in_stock:
            raise Excluded("out of stock")
        texts = item[:6]  # as ITEM_INPUTS has them
        vector = (item.vector or bytes(4 * self._width),) if self._width else ()
        return Row(item.item_id, content_hash([*map(str.encode, texts), *vector]), (*texts, *vector))


class QueryRow:
    """Reads `query` with optional `request_id`, `k`, a user's past and conditions."""

    def __init__(self, k: int) -> None:
        self._k = k

    def __call__(self, fields: Mapping[str, Any]) -> Row:
        query, k = fields.get("query"), fields.get("k")
        if not isinstance(query, str):
            raise Rejected("missing query" if query is None else "bad query")
        if k is not None and (isinstance(k, bool) or not isinstance(k, int) or not 1 <= k < 1 << 31):
            raise Rejected("bad k")
        k = k or self._k
        lists = [_strings(fields, name) for name in LISTS]
        prices = _price_range(fields)
        request_id = optional_identifier(fields, "request_id")
        content = hashlib.blake2b(orjson.dumps([request_id, [query, k, lists, prices]]), digest_size=16).digest()
        return Row(request_id or content.hex(), content, (query, k, *lists, prices))


def _strings(fields: Mapping[str, Any], name: str) -> list[str]:
    values = fields.get(name)
    if values is None:
        return []
    if not isinstance(values, list) or not all(isinstance(one, str) for one in values):
        raise Rejected(f"bad {name}")
    return values


def _price_range(fields: Mapping[str, Any]) -> list[float | None]:
    """From and to; none for an open end."""
    ends = fields.get(PRICE_RANGE)
    if ends is None:
        return [None, None]
    if not isinstance(ends, list) or len(ends) != 2 or not all(end is None or _is_number(end) for end in ends):
        raise Rejected(f"bad {PRICE_RANGE}")
    return ends


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


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


def vectors(column: pyarrow.ChunkedArray) -> np.ndarray:
    """A column of N vectors' bytes -> float32 `[N, width]`."""
    return np.frombuffer(b"".join(column.to_pylist()), "<f4").reshape(len(column), -1)


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


def price_ranges(column: pyarrow.ChunkedArray) -> np.ndarray:
    """A column of N ranges -> float32 `[N, 2]`, NaN for an open end."""
    ends = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return ends.astype(np.float32).reshape(len(column), 2)


def lengths(column: pyarrow.ChunkedArray) -> np.ndarray:
    """How long each list of a column is, int `[N]`."""
    return pyarrow.compute.list_value_length(column).to_numpy()
