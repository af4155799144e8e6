"""Shards follow from the records: how many from their bytes, which from the seed and the record."""

from __future__ import annotations

import collections

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocessing.config import OutputConfig
from preprocessing.data.record_shards import Shards, order_key, shards_of


def test_orders_follow_from_the_seed_and_fill_the_shards() -> None:
    assert order_key(1, "request") == order_key(1, "request") != order_key(2, "request")
    shards = [Shards("train", 4).of(order_key(1, f"request {number}")).number for number in range(4000)]
    assert all(800 < shards.count(shard) < 1200 for shard in range(4))
    assert Shards("eval", 2).at(0).file_name == "eval-00000-of-00002.tfrecord.gz"


def test_there_are_more_shards_than_two_bytes_count() -> None:
    shards = Shards("train", 200_000)
    assert max(shards.of(order_key(1, str(number))).number for number in range(1000)) > 1 << 16
    assert shards.at(123_456).file_name == "train-123456-of-200000.tfrecord.gz"


@pytest.mark.parametrize(
    ("output", "gigabytes", "files", "ranges"),
    [
        (OutputConfig(), 0, 8, 1),
        (OutputConfig(), 0.2, 8, 1),
        (OutputConfig(), 60, 103, 10),  # three bytes of records in one of a file
        (OutputConfig(shard_mb=50), 60, 410, 3),
        (OutputConfig(train_shards=7), 60, 7, 138),  # whatever a file holds, it is sorted 64 MB at a time
    ],
)
def test_files_and_what_is_sorted_at_a_time_follow_from_the_bytes(
    output: OutputConfig, gigabytes: float, files: int, ranges: int
) -> None:
    found = shards_of(output, {"train": round(gigabytes * (1 << 30))})
    assert found["train"] == ("train", files, ranges)
    assert [found[name].files for name in ("validation", "eval", "catalog")] == [1, 2, 2]


@given(st.binary(min_size=8, max_size=8), st.binary(min_size=8, max_size=8), st.integers(1, 300))
def test_ranges_are_in_the_order_of_the_records(one: bytes, other: bytes, ranges: int) -> None:
    shard = Shards("train", 1, ranges).at(0)
    low, high = sorted((one, other))
    assert 0 <= shard.range_of(low) <= shard.range_of(high) < ranges


def test_ranges_are_alike() -> None:
    shard = Shards("train", 1, 8).at(0)
    counts = collections.Counter(shard.range_of(order_key(1, str(number))) for number in range(8000))
    assert len(counts) == 8 and all(850 < count < 1150 for count in counts.values())
