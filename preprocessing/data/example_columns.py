"""Many examples at once, feature by feature: Arrow puts their bytes together, at a fraction of a loop over requests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow
import pyarrow.compute

from preprocessing.data.example_proto import FeatureWriter, example

_GROUPS = np.arange(10)  # of seven bits, in 64


def contents_of(values: Iterable[bytes]) -> pyarrow.BinaryArray:
    """Contents of features, one an entry."""
    return pyarrow.array(values, pyarrow.binary())


def varints(numbers: Sequence[int] | np.ndarray) -> pyarrow.BinaryArray:
    """The contents of int64 lists of one non-negative number each: `example_proto.varint` of many."""
    values = np.asarray(numbers, np.uint64)[:, None]
    groups = values >> (7 * _GROUPS).astype(np.uint64)
    more = (groups[:, 1:] != 0).astype(np.uint8) << 7
    encoded = (groups & 0x7F).astype(np.uint8)
    encoded[:, :-1] |= more
    kept = np.concatenate([np.ones_like(encoded[:, :1], bool), more != 0], axis=1)
    return _array(np.concatenate([[0], np.cumsum(kept.sum(axis=1))]), pyarrow.py_buffer(encoded[kept]))


def joined(contents: pyarrow.BinaryArray, splits: np.ndarray) -> pyarrow.BinaryArray:
    """Contents `[n]`, those of each example end to end; int `[examples + 1]` says where each example's begin."""
    offsets = np.frombuffer(contents.buffers()[1], np.int32, len(contents) + 1, 4 * contents.offset)
    return _array(offsets[splits], contents.buffers()[2])


def _array(offsets: np.ndarray, content: pyarrow.Buffer) -> pyarrow.BinaryArray:
    buffers = [None, pyarrow.py_buffer(offsets.astype(np.int32)), content]
    return pyarrow.BinaryArray.from_buffers(pyarrow.binary(), len(offsets) - 1, buffers)


class Columns:
    """Features of many examples, one put behind the other."""

    def __init__(self) -> None:
        self._parts: list[pyarrow.BinaryArray] = []

    def add(self, write: FeatureWriter, contents: pyarrow.BinaryArray) -> None:
        """A feature of every example; one without content leaves no trace."""
        sizes = pyarrow.compute.binary_length(contents).dictionary_encode()
        headers = contents_of(map(write.header, sizes.dictionary.to_pylist()))
        self._parts += [headers.take(sizes.indices), contents]

    def add_entries(self, entries: pyarrow.BinaryArray) -> None:
        """Features that are written already."""
        self._parts.append(entries)

    def examples(self) -> list[bytes]:
        """The examples."""
        joined = pyarrow.compute.binary_join_element_wise(*self._parts, b"")
        return [example((features,)) for features in joined.to_pylist()]
