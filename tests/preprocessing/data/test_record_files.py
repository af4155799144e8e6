"""Record files: framed as TensorFlow reads them, the same bytes each time."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from preprocessing.data.record_files import WriteRejected, WriteShard, file_name, order_key, shard_of, write_file
from preprocessing.shuffle.packing import pack


def test_shards_are_read_by_tensorflow_in_order_and_repeat(tmp_path: Path) -> None:
    batches = [pack([(b"2", b"second"), (b"3", b"")]), pack([(b"1", b"first" * 1000)])]
    paths = []
    for folder, given in (("a", batches), ("b", batches[::-1])):
        (tmp_path / folder).mkdir()
        paths += list(WriteShard(str(tmp_path / folder)).process((("train", 2, 8), given)))
    assert Path(paths[0]).name == "train-00002-of-00008.tfrecord.gz"
    records = list(tf.data.TFRecordDataset(paths[0], "GZIP").as_numpy_iterator())
    assert records == [b"first" * 1000, b"second", b""]
    assert Path(paths[0]).read_bytes() == Path(paths[1]).read_bytes()


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
    (path,) = WriteRejected(str(tmp_path)).process((("actions", 1), [b"b", b"a"]))
    assert Path(path).name == "rejected-actions-00001.jsonl"
    assert Path(path).read_bytes() == b"a\nb\n"


def test_orders_follow_from_the_seed_and_fill_the_shards() -> None:
    assert order_key(1, "request") == order_key(1, "request") != order_key(2, "request")
    shards = [shard_of("train", order_key(1, f"request {number}"), 4)[1] for number in range(4000)]
    assert all(800 < shards.count(shard) < 1200 for shard in range(4))
    assert file_name(("eval", 0, 2)) == "eval-00000-of-00002.tfrecord.gz"
