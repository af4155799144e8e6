"""Nothing that a record holds stops a job: every mutated record is used, excluded or rejected, and counted."""

from __future__ import annotations

import collections
import datetime
import decimal
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from preprocessing.config_input import InputConfig
from preprocessing.joins.user_log import UserEvents
from preprocessing.logs.parse import COUNTS, KINDS, REJECTED, ParseRecords
from preprocessing.logs.read_blocks import Block, blocks, spans
from preprocessing.logs.records import Action, Impression, Item, Search
from preprocessing.shuffle.packing import pack, unpack
from preprocessing.shuffle.partitions import Dealing

MOMENT = 1_700_000_000_123
RECORDS: dict[str, dict[str, Any]] = {
    "catalog": {
        "item_id": "i",
        "title": "Red sofa",
        "brand": "b",
        "shop": "s",
        "category_leaf": "l",
        "category_top": "t",
        "price": 12.5,
        "in_stock": True,
        "updated_at": MOMENT,
    },
    "searches": {"request_id": "r", "ts": MOMENT, "user_id": "u", "query": "sofa", "results": ["a", "b"]},
    "actions": {"ts": MOMENT, "user_id": "u", "item_id": "i", "action": "click", "request_id": "r"},
    "ubi": {
        "action_name": "impression",
        "client_id": "u",
        "query_id": "r",
        "timestamp": MOMENT,
        "event_attributes": {"object": {"object_id": "i"}, "position": {"ordinal": 2}},
    },
}
STRANGE: list[Any] = [
    *(None, True, 0, -1, 1e39, -1e308, 2**63, -(2**63), 2**64, 10**400, 0.5, float("nan"), float("inf")),
    *("", " ", "\n", "a\nb", "\x00", "\ud800", "é" * 300, "x" * 5_000, "1e999999999", "nan", "2023-02-30", "٣"),
    *("9999-12-31T23:59:59+14:00", "0001-01-01", "2024-06-01 09:00:00 UTC", "Infinity", "0x10", "1_000"),
    *([], {}, [None], [[]], [{}], ["a", 1, None], {"a": {"b": 1}}, {"": ""}, {1: 2}, (1,), {1}, object()),
    *(b"", b"\xff\xfe", b"a", decimal.Decimal("sNaN"), decimal.Decimal("1E+999999999"), decimal.Decimal("1.5")),
    *(datetime.date(1, 1, 1), datetime.datetime.max, datetime.datetime.min.replace(tzinfo=datetime.UTC), 3 + 4j),
    *(np.array([1, 2]), np.array([]), np.int64(3), np.float32("nan"), np.datetime64("2024-06-01")),
]
PLAIN = [value for value in STRANGE if isinstance(value, None | bool | int | float | str)]
COUNT = 2_000  # mutated records of each stream in each format: 24,000


def mutated(stream: str, draw: random.Random, strange: list[Any]) -> dict[str, Any]:
    record = json.loads(json.dumps(RECORDS[stream]))
    for _ in range(draw.choice([1, 1, 2, 3])):
        name = draw.choice([*record, "more"])
        inner = record.get(name)
        if isinstance(inner, dict) and draw.random() < 0.7:
            inner[draw.choice(list(inner) or ["x"])] = draw.choice(strange)
        elif draw.random() < 0.15:
            record.pop(name, None)
        else:
            record[name] = draw.choice(strange)
    return record


def deep(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


def line(stream: str, draw: random.Random) -> bytes:
    """A line that is JSON, or was until some of its bytes were changed, cut or doubled."""
    record = mutated(stream, draw, PLAIN)
    text = bytearray(json.dumps(record).encode("utf-8", "surrogatepass"))
    if draw.random() < 0.02:
        return deep(draw.choice([10, 500, 2_000]))
    for _ in range(draw.choice([0, 0, 1, 3, 9])):
        place = draw.randrange(len(text) or 1)
        text[place : place + draw.choice([0, 1, 5])] = draw.randbytes(draw.choice([0, 1, 2]))
    return bytes(text).replace(b"\n", b" ").replace(b"\r", b" ") or b"x"


def outcome(stream: str, elements: list[Any]) -> tuple[collections.Counter[tuple[str, ...]], list[Any], list[Any]]:
    """What a worker counts, keeps and rejects of some elements, its batches unpacked as the joins do."""
    parse = ParseRecords(stream, InputConfig(), 10_000, Dealing(3, 3), Dealing(2, 2))
    parse.setup()
    parse.start_bundle()
    counts: collections.Counter[tuple[str, ...]] = collections.Counter()
    kept, rejected = [], []
    kinds = {name: kind for kind, name in KINDS.items()}
    outputs = [output for element in elements for output in parse.process(element)]
    for output in (*outputs, *(one for one in parse.finish_bundle())):
        value = getattr(output.value, "value", output.value)
        if output.tag == COUNTS:
            counts[value[0]] += value[1]
        elif output.tag == REJECTED:
            rejected.append(orjson.dumps(value))
        elif output.tag in kinds:
            kept += unpack(kinds[output.tag]._make, value[1])  # type: ignore[attr-defined]
    return counts, kept, rejected


def check(stream: str, elements: list[Any], records: int) -> None:
    counts, kept, rejected = outcome(stream, elements)
    left_out = {
        kind: sum(n for key, n in counts.items() if key[:2] == (stream, kind)) for kind in ("rejected", "excluded")
    }
    assert counts[stream, "in"] == records
    assert len(kept) + sum(left_out.values()) == records
    assert len(rejected) == left_out["rejected"] > 0
    assert len(kept) > 0
    for record in kept:
        assert pack([record])
        for value in record:
            if isinstance(value, str):
                value.encode()
        if isinstance(record, Search | Action | Impression):
            assert 946_684_800_000 <= record.ts < 4_102_444_800_000
        ids = record.results if isinstance(record, Search) else (record.item_id,)
        assert all(one == one.strip() and one and "\n" not in one for one in ids)
        assert not isinstance(record, Item) or not abs(record.price) > 3.5e38
    events = UserEvents(100)
    for record in kept:
        if not isinstance(record, Item):
            events.add(record)


@pytest.mark.parametrize("stream", RECORDS)
def test_lines(stream: str, tmp_path: Path) -> None:
    draw = random.Random(stream)
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"\n".join(line(stream, draw) for _ in range(COUNT)) + b"\n")
    written = sum(bool(one.strip()) for one in path.read_bytes().split(b"\n"))
    check(stream, [block for span in spans(str(path)) for block in blocks(span)], written)


@pytest.mark.parametrize("stream", RECORDS)
def test_dicts(stream: str) -> None:
    draw = random.Random(stream)
    records: list[Any] = [mutated(stream, draw, STRANGE) for _ in range(COUNT)]
    endless: dict[str, Any] = {}
    endless["more"] = endless
    records += [3, "text", None, [], endless, {**RECORDS[stream], "more": endless}]
    check(stream, records, len(records))


@pytest.mark.parametrize("stream", RECORDS)
def test_rows(stream: str, tmp_path: Path) -> None:
    """Every column in every type that Arrow can give it, text that is none and times out of all years among them."""
    draw = random.Random(stream)
    elements: list[Block] = []
    for number in range(COUNT // 100):
        rows = [RECORDS[stream] for _ in range(100)]
        columns = {name: pa.array([row[name] for row in rows]) for name in RECORDS[stream]}
        for name in draw.sample(list(columns), draw.choice([0, 1, 1, 2])):
            columns[name] = strange_column(columns[name], draw)
        path = tmp_path / f"{number}.parquet"
        pq.write_table(pa.table(columns), path)
        elements += [block for span in spans(str(path)) for block in blocks(span)]
    check(stream, elements, COUNT)


def strange_column(column: pa.Array, draw: random.Random) -> pa.Array:
    size = len(column)
    broken = [draw.choice([b"a", b"\xff\xfe", b"i", b"", None]) for _ in range(size)]
    integers = pa.array([draw.choice([0, MOMENT, 2**62, -(2**62), None]) for _ in range(size)], pa.int64())
    binary = pa.array(broken, pa.binary())
    choices = [
        pa.StringArray.from_buffers(size, binary.buffers()[1], binary.buffers()[2], binary.buffers()[0]),
        binary,
        integers,
        *(integers.cast(pa.timestamp(unit)) for unit in ("ms", "us", "ns")),
        integers.cast(pa.timestamp("ns", "America/Sao_Paulo")),
        integers.cast(pa.duration("ns")),
        pa.array([draw.choice([1e39, float("nan"), 3.0, None]) for _ in range(size)]),
        pa.array([draw.choice([decimal.Decimal("1.50"), None]) for _ in range(size)]),
        pa.array([draw.choice([datetime.date(1, 1, 1), datetime.date(2024, 1, 1), None]) for _ in range(size)]),
        pa.array([[{"sku": "a"}], None] * (size // 2)),
        pa.array([draw.choice([["a"], [None], [], None]) for _ in range(size)]),
        pa.nulls(size),
    ]
    chosen = draw.choice(choices)
    good = pa.array([draw.random() < 0.5 for _ in range(size)])
    return pa.compute.if_else(good, column, chosen) if chosen.type == column.type else chosen
