"""Rows of Arrow: a value that Python cannot hold spoils its own cell alone."""

from __future__ import annotations

import datetime
from typing import Any

import pyarrow as pa

from preprocessing.logs.arrow_rows import Unreadable, rows

MOMENT = datetime.datetime(2023, 11, 14, 22, 13, 20, 123_000)
NANOSECONDS = 1_700_000_000_123_456_789


def column(array: pa.Array) -> list[Any]:
    return [row["a"] for row in rows(pa.record_batch({"a": array}))]


def test_plain_values_are_as_they_were() -> None:
    values = [{"a": "x", "b": [1, 2]}, {"a": None, "b": []}]
    assert rows(pa.RecordBatch.from_pylist(values)) == values


def test_times_finer_than_python_knows_come_to_the_millisecond() -> None:
    for unit in ("ns", "us", "ms"):
        array = pa.array([NANOSECONDS, None], pa.int64()).cast(pa.timestamp("ns")).cast(pa.timestamp(unit), safe=False)
        assert column(array) == [MOMENT, None]
    zoned = pa.array([NANOSECONDS], pa.timestamp("ns", "Europe/Berlin"))
    assert column(zoned) == [MOMENT]
    nested = pa.array([{"at": [NANOSECONDS]}], pa.struct([("at", pa.list_(pa.timestamp("ns")))]))
    assert column(nested) == [{"at": [MOMENT]}]


def test_a_text_that_is_none_spoils_its_cell_alone() -> None:
    broken = pa.Array.from_buffers(pa.string(), 3, pa.array([b"a", b"\xff\xfe", b"c"]).buffers())
    first, second, third = column(broken)
    assert (first, third) == ("a", "c")
    assert isinstance(second, Unreadable)
    (row, *_) = rows(pa.record_batch({"b": pa.array(["x", "y", "z"]), "a": broken}))
    assert row == {"b": "x", "a": "a"}


def test_so_does_a_time_out_of_all_years() -> None:
    first, second = column(pa.array([1 << 62, 0], pa.timestamp("ms")))
    assert isinstance(first, Unreadable)
    assert second == datetime.datetime(1970, 1, 1)
