"""An endless, shuffled stream of records: each reader has files of its own, and begins at any record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import tensorflow as tf

from preprocessing.data.spec import read_spec
from trainer.config import DataConfig
from trainer.data.dataset import COMPRESSION, record_files

_BLOCK = 16  # records that are read from one lane, then from the next
Number: TypeAlias = int | tf.Tensor


class RecordFile(NamedTuple):
    """A file, and how many records it holds."""

    path: str
    records: int


class Span(NamedTuple):
    """Records from one place to another."""

    begin: Number
    end: Number

    def part(self, number: Number, parts: int) -> Span:
        """One of so many, as long as the others but for one record."""
        size = self.end - self.begin
        return Span(self.begin + size * number // parts, self.begin + size * (number + 1) // parts)


class Stream:
    """Epoch after epoch, the order decided by the seed alone.

    An epoch lays the files end to end in an order of its own, and each of several readers takes as long a piece of
    that: its own files, and of those at the piece's ends a part. Together they read every record once, whatever the
    files' sizes. A reader goes through its piece in lanes side by side and shuffles it window by window. So what it
    reads first from any record on is arithmetic: it skips within one file a lane.

    Args:
      files: in order.
      config: the window, and how many lanes.
      seed: of the order.
    """

    def __init__(self, files: Sequence[RecordFile], config: DataConfig, seed: int) -> None:
        self._paths = [file.path for file in files]
        self._counts = [file.records for file in files]
        self._config, self._seed = config, seed
        self.records = sum(self._counts)

    def examples(self, start: Number, readers: int = 1, reader: Number = 0) -> tf.data.Dataset:
        """Serialised examples of one of `readers` from its record `start` on."""
        every = Span(0, self.records)
        span = every.part(tf.cast(reader, tf.int64), readers) if readers <= self.records else every
        size = tf.cast(span.end - span.begin, tf.int64)
        window = tf.minimum(size, self._config.shuffle)
        first, offset = start // size, start % size
        lanes = min(self._config.readers, max(1, len(self._paths) // readers))

        def epoch(number: tf.Tensor) -> tf.data.Dataset:
            from_window = tf.where(number == first, offset // window, 0)
            return self._windows(number, span, window, from_window, lanes)

        return tf.data.Dataset.range(first, tf.int64.max).flat_map(epoch).prefetch(1).unbatch().skip(offset % window)

    def _windows(
        self, epoch: tf.Tensor, span: Span, window: tf.Tensor, first: tf.Tensor, lanes: int
    ) -> tf.data.Dataset:
        """The windows `[window]` of one reader's epoch, each shuffled, from one of them on."""
        order = self._drawn(tf.range(len(self._paths)), epoch, 0)
        paths, counts = (tf.gather(tf.constant(values), order) for values in (self._paths, self._counts))
        rounds, rest = (first * window) // (lanes * _BLOCK), (first * window) % (lanes * _BLOCK)

        def lane(number: tf.Tensor) -> tf.data.Dataset:
            begin, end = span.part(number, lanes)
            return _records(paths, counts, Span(begin + rounds * _BLOCK, end))

        records = tf.data.Dataset.range(lanes).interleave(
            lane, cycle_length=lanes, block_length=_BLOCK, num_parallel_calls=min(lanes, 2), deterministic=True
        )
        windows = records.skip(rest).batch(window).enumerate(first + 1)
        return windows.map(lambda number, window: self._drawn(window, epoch, number))

    def _drawn(self, values: tf.Tensor, epoch: tf.Tensor, number: Number) -> tf.Tensor:
        """Values in an order of their own."""
        seed = tf.stack([tf.constant(self._seed, tf.int64), epoch * 2**32 + tf.cast(number, tf.int64)])
        return tf.random.experimental.stateless_shuffle(values, seed)


def _records(paths: tf.Tensor, counts: tf.Tensor, span: Span) -> tf.data.Dataset:
    """Some records of files that lie end to end; of files outside nothing is opened."""
    counts = tf.cast(counts, tf.int64)
    starts = tf.cumsum(counts, exclusive=True)
    begins, ends = (tf.clip_by_value(place - starts, 0, counts) for place in span)
    parts = tf.where(ends > begins)[:, 0]
    chosen = tuple(tf.gather(values, parts) for values in (paths, begins, ends))
    return tf.data.Dataset.from_tensor_slices(chosen).flat_map(
        lambda path, begin, end: tf.data.TFRecordDataset(path, COMPRESSION).skip(begin).take(end - begin)
    )


def counted_files(data_dir: str, split: str) -> list[RecordFile]:
    """The files of a split, with what the pipeline counted; those of an older pipeline are read through once."""
    known = read_spec(data_dir).get("files", {})
    return [
        RecordFile(path, known[name] if (name := path.rsplit("/", 1)[-1]) in known else _count(path))
        for path in record_files(data_dir, split)
    ]


def _count(path: str) -> int:
    batches = tf.data.TFRecordDataset(path, COMPRESSION).batch(4096)
    return int(batches.reduce(0, lambda count, batch: count + tf.size(batch)))
