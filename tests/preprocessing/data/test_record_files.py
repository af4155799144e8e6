"""Record files: framed as TensorFlow reads them, the same bytes each time."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from preprocessing.data.record_files import WriteRejected, WriteShard, write_file
from preprocessing.shuffle.packing import pack


def test_shards_are_read_by_tensorflow_in_order_and_repeat(tmp_path: Path) -> None:
    places = [bytes([number * 80, 0, 0, 0, 0, 0, 0, 0]) for number in range(3)]
    batches = [pack([(places[1], b"second"), (places[2], b"")]), pack([(places[0], b"first" * 1000)])]
    written = []
    for folder, given, ranges in (("a", batches, 1), ("b", batches[::-1], 1), ("c", batches, 4)):
        (tmp_path / folder).mkdir()
        written += list(WriteShard(str(tmp_path / folder)).process((("train", 2, 8, ranges), given)))
    paths = [path for path, _ in written]
    assert [count for _, count in written] == [3, 3, 3]
    assert Path(paths[0]).name == "train-00002-of-00008.tfrecord.gz"
    records = list(tf.data.TFRecordDataset(paths[0], "GZIP").as_numpy_iterator())
    assert records == [b"first" * 1000, b"second", b""]
    assert len({Path(path).read_bytes() for path in paths}) == 1


def test_a_file_replaces_an_older_one_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    for text in (b"old", b"new"):
        write_file(str(path), [text])
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [("words.txt", b"new")]


def test_an_attempt_that_breaks_off_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    write_file(str(path), [b"old"])

    def broken():  # type: ignore[no-untyped-def]
        yield b"half"
        raise ValueError

    try:
        write_file(str(path), broken())
    except ValueError:
        assert path.read_bytes() == b"old"
    else:
        raise AssertionError("the error was swallowed")


def test_rejected_lines_in_order(tmp_path: Path) -> None:
    (path,) = WriteRejected(str(tmp_path)).process(("actions", [[b"b", b"a"], [b"a"]]))
    assert Path(path).name == "rejected-actions.jsonl"
    assert Path(path).read_bytes() == b"a\na\nb\n"
