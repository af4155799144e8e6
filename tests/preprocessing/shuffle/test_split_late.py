"""Records dealt to keys and split to partitions where they arrive: each once, in the partition that its id says."""

from __future__ import annotations

import collections

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocessing.shuffle import keyed_batches
from preprocessing.shuffle.keyed_batches import KeyedBatches
from preprocessing.shuffle.packing import pack, unpack
from preprocessing.shuffle.partitions import Dealing, pack_ranks, unpack_ranks
from preprocessing.shuffle.split_late import split_late

Dealt = dict[tuple[int, str], collections.Counter[tuple]]


def dealt(records: list[tuple[str, str]], dealing: Dealing, batch: int) -> Dealt:
    """What each partition and side holds in the end."""
    keyed: dict[int, list[tuple[str, bytes]]] = collections.defaultdict(list)
    for start in range(0, len(records), batch):
        by_key: KeyedBatches[tuple[int, str]] = KeyedBatches(1)
        for side, id_ in records[start : start + batch]:
            by_key.add((dealing.key_of_id(id_), side), (id_,))
        for (key, side), packed in by_key.drain():
            keyed[key].append((side, packed))
    found: Dealt = collections.defaultdict(collections.Counter)
    owners = dict.fromkeys("ab", lambda record: (dealing.partition_of(record[0]),))
    for key, batches in keyed.items():
        for partition, sides in split_late(key, iter(batches), dealing, owners):
            for side, packs in sides.items():
                found[partition, side].update(record for one in packs for record in unpack(tuple, one))
    return found


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.text("xyz0123", max_size=4)), max_size=80),
    st.integers(1, 50),
    st.integers(1, 20),
    st.integers(1, 40),
)
def test_every_record_comes_out_in_its_partition(
    records: list[tuple[str, str]], partitions: int, keys: int, batch: int
) -> None:
    dealing = Dealing.of(partitions, keys)
    expected: Dealt = collections.defaultdict(collections.Counter)
    for side, id_ in records:
        expected[dealing.partition_of(id_), side][(id_,)] += 1
    assert dealt(records, dealing, batch) == expected


def test_a_record_may_go_to_several_partitions_of_its_key() -> None:
    dealing = Dealing(partitions=6, keys=2)
    assert [(dealing.key_of(one), dealing.rank_of(one)) for one in (0, 1, 2, 5)] == [(0, 0), (1, 0), (0, 1), (1, 2)]
    batches = [("a", pack([(pack_ranks({0, 2}), "head"), (pack_ranks([2]), "tail")]))]
    found = {
        rank: [record[1] for batch in sides["a"] for record in unpack(tuple, batch)]
        for rank, sides in split_late(1, batches, dealing, {"a": lambda record: unpack_ranks(record[0])})
    }
    assert found == {0: ["head"], 2: ["head", "tail"]}


@given(st.sets(st.integers(0, 1 << 31)))
def test_ranks_come_back(ranks: set[int]) -> None:
    assert unpack_ranks(pack_ranks(ranks)) == sorted(ranks)


def test_a_key_is_spooled_when_it_is_more_than_memory_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("preprocessing.shuffle.split_late._IN_MEMORY", 100)
    monkeypatch.setattr(keyed_batches, "LEAST_BUFFERED", 10)
    monkeypatch.setattr(keyed_batches, "_RECORDS_A_KEY", 1)
    records = [("ab"[number % 2], str(number)) for number in range(1000)]
    found = dealt(records, Dealing(8, 2), 7)
    assert sum(sum(counter.values()) for counter in found.values()) == 1000


def test_batches_are_drained_before_they_vanish() -> None:
    batches: KeyedBatches[int] = KeyedBatches(keys=512)
    drained = 0
    for number in range(100_000):
        batches.add(number % 512, (number,))
        if batches.full:
            sizes = [len(unpack(tuple, packed)) for _, packed in batches.drain()]
            assert len(sizes) == 512 and min(sizes) >= 100
            drained += sum(sizes)
    assert drained and not batches.full
    assert drained + sum(len(unpack(tuple, packed)) for _, packed in batches.drain()) == 100_000
