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
from serving.inputs import FILTER_LISTS, ITEM_PRICE, PRICE_RANGE, SIGNAL_LISTS, VECTOR_LISTS, item_inputs

LISTS = (*VECTOR_LISTS, *FILTER_LISTS)
NUMBERS = tuple(SIGNAL_LISTS.values())
_FLOAT = struct.Struct("<f").pack
ID, CONTENT = "id", "content_hash"
HASH = pyarrow.binary(16)
_TEXT, _TEXTS = pyarrow.string(), pyarrow.list_(pyarrow.string())
_KEY = [(ID, _TEXT), (CONTENT, HASH)]
_PRICES = pyarrow.list_(pyarrow.float32(), 2)


def schema_of(asked: str, lists: Sequence[str], numbers: Sequence[str] = ()) -> pyarrow.Schema:
    """Of rows that ask by a text for k items: with lists of texts, a range of prices and lists of numbers."""
    return pyarrow.schema(
        [
            *_KEY,
            (asked, _TEXT),
            ("k", pyarrow.int32()),
            *((name, _TEXTS) for name in lists),
            (PRICE_RANGE, _PRICES),
            *((name, pyarrow.list_(pyarrow.int32())) for name in numbers),
        ]
    )


QUERIES = schema_of("query", LISTS, NUMBERS)
_SQUEEZED, _PLAIN = (pyarrow.ipc.IpcWriteOptions(compression=one) for one in ("lz4", None))

Block = tuple[int, int, bytes]  # (shard, rows, the rows as Arrow's stream): what every coder and every worker knows


class Row(NamedTuple):
    """One item or query."""

    id: str
    content: bytes  # a hash [16]: equal content is answered alike
    values: tuple[Any, ...]  # in the order of the job's columns


def content_hash(values: Sequence[bytes]) -> bytes:
    """16 bytes of an item's inputs, in the order of `item_inputs`; a price and a vector by their bytes."""
    lengths_of = struct.pack(f"<{len(values)}I", *map(len, values))
    return hashlib.blake2b(b"".join((lengths_of, *values)), digest_size=16).digest()


def price_bytes(price: float) -> bytes:
    """A price as float32; nothing for none."""
    return b"" if math.isnan(price) else _FLOAT(price)


def item_schema(encoding: Mapping[str, Any]) -> pyarrow.Schema:
    """Of what ItemRow reads."""
    kinds = {ITEM_PRICE: pyarrow.float32(), VECTOR: pyarrow.binary(4 * encoding.get("vector_width", 0))}
    return pyarrow.schema([*_KEY, *((name, kinds.get(name, _TEXT)) for name in item_inputs(encoding))])


class ItemRow:
    """Reads a catalogue record; one that is out of stock is left out, as it is from the index."""

    def __init__(self, encoding: Mapping[str, Any]) -> None:
        self._width = encoding.get("vector_width", 0)
        self._priced = ITEM_PRICE in item_inputs(encoding)

    def __call__(self, fields: Mapping[str, Any]) -> Row:
        item = parse_item(fields, vector_width=self._width)
        if not item.in_stock:
            raise Excluded("out of stock")
        texts = item[:6]  # as ITEM_INPUTS has them
        vector = (item.vector or bytes(4 * self._width),) if self._width else ()
        price = (item.price,) if self._priced else ()
        content = content_hash([*map(str.encode, texts), *map(price_bytes, price), *vector])
        return Row(item.item_id, content, (*texts, *price, *vector))


class QueryRow:
    """Reads `query` with optional `request_id`, `k`, a user's past and conditions."""

    def __init__(self, k: int) -> None:
        self._k = k

    def __call__(self, fields: Mapping[str, Any]) -> Row:
        query = fields.get("query")
        if not isinstance(query, str):
            raise Rejected("missing query" if query is None else "bad query")
        k = k_of(fields, self._k)
        filters, prices = conditions_of(fields)
        lists = [*(_strings(fields, name) for name in VECTOR_LISTS), *filters]
        signals = [_numbers(fields, name) for name in NUMBERS]
        request_id = optional_identifier(fields, "request_id")
        asked = orjson.dumps([request_id, [query, k, lists, prices, signals]])
        content = hashlib.blake2b(asked, digest_size=16).digest()
        return Row(request_id or content.hex(), content, (query, k, *lists, prices, *signals))


def k_of(fields: Mapping[str, Any], default: int) -> int:
    """How many items a row wants."""
    k = fields.get("k")
    if k is not None and (isinstance(k, bool) or not isinstance(k, int) or not 1 <= k < 1 << 31):
        raise Rejected("bad k")
    return k or default


def conditions_of(fields: Mapping[str, Any]) -> tuple[list[list[str]], list[float | None]]:
    """A row's FILTER_LISTS, and its range of prices."""
    return [_strings(fields, name) for name in FILTER_LISTS], _price_range(fields)


def _strings(fields: Mapping[str, Any], name: str) -> list[str]:
    values = fields.get(name)
    if values is None:
        return []
    if not isinstance(values, list) or not all(isinstance(one, str) for one in values):
        raise Rejected(f"bad {name}")
    return values


def _numbers(fields: Mapping[str, Any], name: str) -> list[int]:
    values = fields.get(name)
    if values is None:
        return []
    whole = isinstance(values, list) and all(isinstance(one, int) and not isinstance(one, bool) for one in values)
    if not whole or not all(0 <= one < 1 << 31 for one in values):
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


def column_of(column: pyarrow.ChunkedArray) -> np.ndarray:
    """A column of N texts -> bytes `[N]`, of vectors' bytes -> float32 `[N, width]`, of numbers -> as they are."""
    if column.type == _TEXT:
        return column.cast(pyarrow.binary()).to_numpy()
    if pyarrow.types.is_fixed_size_binary(column.type):
        return np.frombuffer(b"".join(column.to_pylist()), "<f4").reshape(len(column), -1)
    return column.to_numpy()


def padded(column: pyarrow.ChunkedArray, width: int) -> np.ndarray:
    """A column of N lists -> `[N, width]`, cut or filled up: texts as bytes, with empty ones; numbers with 0."""
    lists = column.combine_chunks()
    of_texts = column.type == _TEXTS
    found = np.full((len(lists), width), b"" if of_texts else 0, object if of_texts else np.int32)
    offsets = lists.offsets.to_numpy()
    counts = np.minimum(np.diff(offsets), width)
    row = np.repeat(np.arange(len(lists)), counts)
    place = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    values = lists.values.cast(pyarrow.binary()) if of_texts else lists.values
    found[row, place] = values.to_numpy(zero_copy_only=False)[offsets[:-1][row] + place]
    return found


def price_ranges(column: pyarrow.ChunkedArray) -> np.ndarray:
    """A column of N ranges -> float32 `[N, 2]`, NaN for an open end."""
    ends = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return ends.astype(np.float32).reshape(len(column), 2)


def lengths(column: pyarrow.ChunkedArray) -> np.ndarray:
    """How long each list of a column is, int `[N]`."""
    return pyarrow.compute.list_value_length(column).to_numpy()
