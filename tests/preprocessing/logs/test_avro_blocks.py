"""Avro files, in whatever pieces they are read."""

from __future__ import annotations

import datetime
import io
import itertools
from pathlib import Path
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocessing.command.console import UserError
from preprocessing.logs.avro_blocks import avro_blocks
from preprocessing.logs.sources import find, records_in

MOMENT = {"type": "long", "logicalType": "timestamp-micros"}
SCHEMA = {
    "type": "record",
    "name": "search",
    "fields": [{"name": "id", "type": "long"}, {"name": "query", "type": "string"}, {"name": "ts", "type": MOMENT}],
}
NOON = datetime.datetime(2024, 6, 1, 12, tzinfo=datetime.UTC)
FAR = 900_000_000_000_000_000  # microseconds: the year 30,000 is none of Python's


def written(records: list[dict[str, Any]], **settings: Any) -> bytes:
    file = io.BytesIO()
    fastavro.writer(file, SCHEMA, records, **settings)
    return file.getvalue()


def searches(count: int) -> list[dict[str, Any]]:
    return [{"id": number, "query": "red shoes" * (number % 7), "ts": NOON} for number in range(count)]


@given(cuts=st.lists(st.integers(0, 20_000)), codec=st.sampled_from(["null", "deflate", "snappy"]))
def test_each_record_is_read_once_however_a_file_is_cut(cuts: list[int], codec: str) -> None:
    records = searches(300)
    content = written(records, codec=codec, sync_interval=500)
    edges = sorted({0, len(content), *(cut % len(content) for cut in cuts)})
    blocks = [
        block for begin, end in itertools.pairwise(edges) for block in avro_blocks(io.BytesIO(content), begin, end)
    ]
    assert [record for _, part in blocks for record in part] == records
    places = [place + number for place, part in blocks for number in range(len(part))]
    assert places == sorted(set(places))


def test_a_file_is_read_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "searches.avro").write_bytes(written(searches(2_000), codec="deflate"))
    source = find("searches", str(tmp_path), "searches*")
    assert list(records_in("searches", source.paths[0])) == searches(2_000)
    plain = sum(
        len(f'{{"id":{one["id"]},"query":"{one["query"]}","ts":"{NOON.isoformat()}"}}\n') for one in searches(2_000)
    )
    assert source.size == pytest.approx(plain, rel=0.2)


def test_a_value_that_python_cannot_hold_stops_no_other() -> None:
    content = written([{"id": number, "query": "lamp", "ts": FAR if number == 1 else 0} for number in range(3)])
    ((_, read),) = avro_blocks(io.BytesIO(content), 0, len(content))
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    assert [record["ts"] for record in read] == [epoch, FAR, epoch]


def test_a_text_that_is_not_utf8_is_left_to_who_reads_it() -> None:
    content = written([{"id": 1, "query": "shoes", "ts": NOON}]).replace(b"shoes", b"sho\xffs")
    ((_, (record,)),) = avro_blocks(io.BytesIO(content), 0, len(content))
    assert record["id"] == 1
    with pytest.raises(UnicodeEncodeError):
        record["query"].encode()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no avro at all", "cannot read"),
        (written(searches(500), codec="deflate", sync_interval=500)[:2_000], "cannot read"),
        (written(searches(50)).replace(b"record", b"recard"), "cannot read"),
    ],
    ids=["no avro", "cut off", "no schema"],
)
def test_a_broken_file_is_told_in_a_line(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "searches.avro").write_bytes(content)
    source = find("searches", str(tmp_path), "searches*")
    with pytest.raises(UserError, match=f"searches: {said} {source.paths[0]}"):
        list(records_in("searches", source.paths[0]))


@given(
    place=st.integers(0, 4_000), byte=st.integers(0, 255), codec=st.sampled_from(["null", "deflate", "xz", "snappy"])
)
def test_a_damaged_byte_gives_records_or_a_line(
    place: int, byte: int, codec: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(written(searches(60), codec=codec, sync_interval=500))
    content[place % len(content)] = byte
    path = tmp_path_factory.getbasetemp() / "damaged.avro"
    path.write_bytes(content)
    try:
        list(records_in("searches", str(path)))
    except UserError as told:
        assert str(told).startswith(f"searches: cannot read {path}: ")
