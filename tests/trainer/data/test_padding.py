"""Padded lists: nothing is lost, and there are few shapes."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from trainer.data.padding import ABSENT, Padded, Widths

LISTS = st.lists(st.lists(st.integers(1, 9), max_size=40), min_size=1, max_size=5)


def batch(lists: list[list[int]]) -> dict[str, Any]:
    ids = tf.RaggedTensor.from_row_splits(
        tf.constant([one for row in lists for one in row], tf.int64),
        tf.cumsum(tf.constant([0, *map(len, lists)], tf.int64)),
    )
    titles = tf.RaggedTensor.from_row_lengths(ids, [1] * len(lists))  # one a request
    return {"requests": {"short_item": ids, "clicked_key": ids}, "catalog": {"title_word": ids, "of_titles": titles}}


def ragged(padded: Padded) -> list[list[int]]:
    return tf.RaggedTensor.from_tensor(padded.values, lengths=padded.lengths).to_list()


@given(LISTS, LISTS)
def test_lists_come_back_whole_at_a_power_of_two_of_the_measured_width(
    first: list[list[int]], lists: list[list[int]]
) -> None:
    padded = Widths([batch(first)]).padded(batch(lists))
    assert ragged(padded["requests"]["short_item"]) == lists
    titles = padded["catalog"]["of_titles"]
    assert ragged(Padded(titles.values[:, 0], titles.lengths[:, 0])) == lists
    measured = 2 ** math.ceil(math.log2(max(1, *map(len, first), 1)))
    width = padded["requests"]["short_item"].values.shape[1]
    assert width % measured == 0 and (width // measured).bit_count() == 1
    assert width == measured or width < 2 * max(map(len, lists))


@given(LISTS)
def test_where_no_item_is_there_is_no_key(lists: list[list[int]]) -> None:
    keys = Widths([batch(lists)]).padded(batch(lists))["requests"]["clicked_key"]
    behind = tf.boolean_mask(keys.values, ~tf.sequence_mask(keys.lengths, tf.shape(keys.values)[1]))
    assert all(key == ABSENT for key in behind.numpy())
