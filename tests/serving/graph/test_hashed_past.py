"""Items known by hashes: whatever parts a catalogue came in, each has its own attributes."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.graph.hashed_past import LAST_HASH, hashed, items_behind, joined

ATTRIBUTES = st.lists(st.integers(0, 3), min_size=6, max_size=6)
ITEMS = st.dictionaries(st.binary(min_size=1, max_size=4), ATTRIBUTES, max_size=12)


@settings(deadline=None, max_examples=60)
@given(items=ITEMS, cuts=st.lists(st.integers(0, 12), max_size=3))
def test_parts_together_know_each_item(items: dict[bytes, list[int]], cuts: list[int]) -> None:
    ids = np.array([*items, b""], object)[:-1]
    attributes = np.array([*items.values(), [0] * 6], np.int32)[:-1]
    edges = sorted({0, len(ids), *(one for one in cuts if one < len(ids))})
    parts = [hashed(ids[begin:end], attributes[begin:end]) for begin, end in itertools.pairwise(edges)]
    whole = joined(parts)
    assert np.all(np.diff(whole.hashes) > 0) and not whole.attributes[0].any()
    assert len(np.unique(whole.attributes, axis=0)) == len(whole.attributes)
    for item_id, row in items.items():
        (place,) = np.flatnonzero(
            whole.hashes == hashed(np.array([item_id], object), np.zeros((1, 6), np.int32)).hashes
        )
        assert whole.attributes[whole.numbers[place]].tolist() == row[1:]


def test_none() -> None:
    nothing = items_behind(joined([]))
    assert nothing.hashes.tolist() == [LAST_HASH] and nothing.numbers.tolist() == [0]
    assert nothing.attributes.tolist() == [[0] * 5]
