"""The catalogue of the tests, read without any of the code under test's tables."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from preprocessing.text import analyser
from serving.catalogue.data_records import catalog_batches, catalog_files


class Shelf(NamedTuple):
    """Every item, in the order of the files."""

    ids: list[bytes]
    titles: list[bytes]
    brands: list[bytes]
    leaves: list[bytes]
    prices: np.ndarray  # float32, NaN for none
    inputs: dict[str, np.ndarray]

    def words(self, row: int) -> set[bytes]:
        """The words of an item's title and brand."""
        return words_of(self.titles[row]) | words_of(self.brands[row])


@functools.cache
def words_of(value: bytes) -> set[bytes]:
    """The words of a text."""
    return set(analyser.analyse(np.array([value], object), ["word"])["word"].values.numpy().tolist())


def shelf(data: str) -> Shelf:
    """Reads it."""
    batches = list(catalog_batches(catalog_files(data), 64))
    inputs = {name: np.concatenate([batch[name].numpy() for batch in batches]) for name in batches[0]}
    prices = inputs["price"]
    columns = (inputs[name].tolist() for name in ("item_id", "title", "brand", "category_leaf"))
    return Shelf(*columns, prices, inputs)


def assert_same_answers(found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> None:
    """The same scores, and the same ids but where two scores are as good as equal; the last one's next is not known."""
    np.testing.assert_allclose(found["scores"], expected["scores"], atol=1e-4)
    with np.errstate(invalid="ignore"):  # from none to none there is no step
        steps = np.abs(np.diff(expected["scores"], axis=1, append=expected["scores"][:, -1:])) < 1e-3
    tied = steps | np.roll(steps, 1, axis=1)
    differing = found["item_ids"] != expected["item_ids"]
    assert not np.any(differing & ~tied), (found["item_ids"].tolist(), expected["item_ids"].tolist())


def deal_out(data: str, to: Path, files: int, twice: tuple[int, ...] = ()) -> Path:
    """A copy of a data folder whose catalogue lies in so many files, in order; `twice` end in its first item."""
    shutil.copytree(data, to)
    paths = sorted(to.glob("catalog-*"))
    records = list(tf.data.TFRecordDataset([str(path) for path in paths], "GZIP").as_numpy_iterator())
    for path in paths:
        path.unlink()
    size = -(-len(records) // files)
    for number in range(files):
        name = to / f"catalog-{number:05d}-of-{files:05d}.tfrecord.gz"
        with tf.io.TFRecordWriter(str(name), "GZIP") as writer:
            for record in records[number * size : (number + 1) * size] + records[:1] * (number in twice):
                writer.write(record)
    return to
