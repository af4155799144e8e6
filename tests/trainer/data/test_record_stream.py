"""The stream of records: whole epochs whoever reads them, and the same from any record on."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.config import DataConfig
from trainer.data.record_stream import RecordFile, Span, Stream, counted_files
from trainer.data.training_data import Due


def write(folder: Path, sizes: list[int]) -> list[RecordFile]:
    """Files of so many records, each record its own number."""
    numbers, files = itertools.count(), []
    for file, size in enumerate(sizes):
        path = folder / f"train-{file:05d}.tfrecord.gz"
        with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
            for _ in range(size):
                writer.write(str(next(numbers)).encode())
        files.append(RecordFile(str(path), size))
    return files


def read(stream: Stream, count: int, start: int = 0, readers: int = 1, reader: int = 0) -> list[int]:
    return [int(one) for one in stream.examples(start, readers, reader).take(count).as_numpy_iterator()]


def share(stream: Stream, readers: int, reader: int) -> int:
    span = Span(0, stream.records).part(reader, readers)
    return int(span.end) - int(span.begin)


@settings(max_examples=25)
@given(
    sizes=st.lists(st.integers(0, 90), min_size=1, max_size=7).filter(any),
    shuffle=st.integers(1, 120),
    lanes=st.integers(1, 4),
    readers=st.integers(1, 4),
    part=st.floats(0, 1),
)
def test_readers_together_read_all_once_an_epoch_and_begin_anywhere(
    sizes: list[int], shuffle: int, lanes: int, readers: int, part: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Files of any sizes, empty ones too: shares alike but for one record, and the same from any record on."""
    files = write(tmp_path_factory.mktemp("files"), sizes)
    stream = Stream(files, DataConfig(shuffle=shuffle, readers=lanes), 5)
    readers = min(readers, stream.records)
    once, again = [], []
    for reader in range(readers):
        size = share(stream, readers, reader)
        assert stream.records // readers <= size <= -(-stream.records // readers)
        two_epochs = read(stream, 2 * size, 0, readers, reader)
        start = int(part * 2 * size)
        assert read(stream, 2 * size - start, start, readers, reader) == two_epochs[start:]
        once += two_epochs[:size]
        again += two_epochs[size:]
    assert sorted(once) == sorted(again) == list(range(stream.records))


def test_the_order_is_another_each_epoch_and_each_seed(tmp_path: Path) -> None:
    files = write(tmp_path, [40, 40, 40])
    config = DataConfig(shuffle=50, readers=2)
    first = read(Stream(files, config, 1), 240)
    assert first != read(Stream(files, config, 2), 240) and first == read(Stream(files, config, 1), 240)
    assert first[:120] != first[120:] and first[:120] != sorted(first[:120])
    near = sum(abs(one - other) == 1 for one, other in itertools.pairwise(first[:120]))
    assert near < 12, "neighbours in a file are none in the stream"


def test_a_reader_opens_its_own_files_alone(tmp_path: Path) -> None:
    """Those of another reader may be gone, and what lies before where it begins."""
    files = write(tmp_path, [50, 50, 50, 50])
    stream = Stream(files, DataConfig(shuffle=10, readers=1), 3)
    mine = read(stream, 100, 0, 2, 1)
    late = read(stream, 20, 80, 2, 1)
    opened = {number // 50 for number in late}
    assert len(opened) == 1 and late == mine[80:]
    for number in {0, 1, 2, 3} - opened:
        Path(files[number].path).write_bytes(b"no record file")
    assert read(stream, 20, 80, 2, 1) == late


@pytest.mark.parametrize(
    ("pipelines", "replicas", "alone", "size"), [(2, 2, False, 12), (2, 4, False, 12), (3, 1, True, 36)]
)
def test_no_two_records_of_a_step_have_one_place(
    pipelines: int, replicas: int, alone: bool, size: int, tmp_path: Path
) -> None:
    """By it is drawn what a made request asks: twelve records a step, or twelve of each that makes steps alone."""
    stream = Stream(write(tmp_path, [50, 40, 30]), DataConfig(shuffle=8, readers=2), 1)
    batches = max(1, replicas // pipelines)
    found = [
        [places.numpy() for places, _ in Due(4, pipelines, one, replicas, alone).numbered(stream, 12).take(2 * batches)]
        for one in range(pipelines)
    ]
    for number in (0, 1):
        places = [place for of in found for batch in of[number * batches : (number + 1) * batches] for place in batch]
        assert sorted(places) == list(range((4 + number) * size, (5 + number) * size))


def test_more_readers_than_records(tmp_path: Path) -> None:
    stream = Stream(write(tmp_path, [2, 1]), DataConfig(), 1)
    assert all(sorted(read(stream, 3, 0, 5, reader)) == [0, 1, 2] for reader in range(5))


def test_which_reader_may_be_known_in_the_graph_alone(tmp_path: Path) -> None:
    stream = Stream(write(tmp_path, [9, 30]), DataConfig(shuffle=8, readers=2), 1)

    @tf.function
    def first(reader: tf.Tensor) -> tf.Tensor:
        return next(iter(stream.examples(3, 2, reader).batch(10)))

    for reader in (0, 1):
        found = [int(one) for one in first(tf.constant(reader, tf.int64)).numpy()]
        assert found == read(stream, 10, 3, 2, reader)


def test_records_are_counted_by_the_pipeline(data: str, spec: dict[str, Any]) -> None:
    assert len(spec["files"]) == 8 + 1 + 2 + 2
    for split in ("train", "validation", "eval", "catalog"):
        for file in counted_files(data, split):
            held = sum(1 for _ in tf.data.TFRecordDataset(file.path, "GZIP"))
            assert file.records == held == spec["files"][Path(file.path).name]
