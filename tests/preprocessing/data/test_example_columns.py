"""Many examples put together by Arrow are those that are written one by one."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocessing.data import example_proto
from preprocessing.data.example_columns import Columns, contents_of, joined, varints
from preprocessing.data.example_proto import FeatureWriter


@given(st.lists(st.one_of(st.integers(0, 300), st.integers(0, 2**63 - 1)), max_size=40))
def test_numbers_are_written_as_one_by_one(numbers: list[int]) -> None:
    assert varints(numbers).to_pylist() == [example_proto.varint(number) for number in numbers]


requests = st.lists(
    st.tuples(st.lists(st.integers(0, 2**40), max_size=200), st.lists(st.binary(max_size=200), max_size=5)),
    min_size=1,
    max_size=8,
)


@settings(max_examples=100, deadline=None)
@given(requests)
def test_examples_are_those_of_writers_one_by_one(lists: list[tuple[list[int], list[bytes]]]) -> None:
    ids, names = FeatureWriter("ids", "int64"), FeatureWriter("names", "string")
    columns = Columns()
    for write, contents in (
        (ids, [[example_proto.varint(number) for number in numbers] for numbers, _ in lists]),
        (names, [[example_proto.strings([text]) for text in texts] for _, texts in lists]),
    ):
        splits = np.cumsum([0, *map(len, contents)])
        columns.add(write, joined(contents_of([one for entry in contents for one in entry]), splits))
    assert columns.examples() == [
        example_proto.example([ids(example_proto.ints(numbers)), names(example_proto.strings(texts))])
        for numbers, texts in lists
    ]


def test_contents_that_were_sliced_stand_where_they_did() -> None:
    contents = contents_of([b"a", b"bb", b"", b"ccc"])[1:]
    assert joined(contents, np.array([0, 2, 2, 3])).to_pylist() == [b"bb", b"", b"ccc"]
    assert joined(contents.take([2, 2, 0]), np.array([0, 1, 3])).to_pylist() == [b"ccc", b"cccbb"]
