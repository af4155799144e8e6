"""Lists of unequal length."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.towers.lists import Lists, by_outer_list, one_below_other

ROWS = [[3, 1], [], [2], []]
DENSE = tf.constant([[3, 1, 0], [0, 0, 0], [0, 2, 0], [0, 0, 0]])  # a place in the middle may be empty
RAGGED = tf.ragged.constant(ROWS, tf.int64)


@pytest.mark.parametrize("ids", [RAGGED, DENSE], ids=["ragged", "padded"])
def test_members(ids: tf.Tensor | tf.RaggedTensor) -> None:
    lists = Lists.of(ids)
    assert lists.numbers.numpy().tolist() == [0, 0, 2] and int(lists.count) == 4
    assert [one.numpy().tolist() for one in lists.members(ids)] == [[3, 1, 2]]
    assert [one.numpy().tolist() for one in lists.members(ids, ids + 1)] == [[3, 1, 2], [4, 2, 3]]
    assert lists.filled().numpy().tolist() == [True, False, True, False]


@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
def test_means(dtype: tf.DType) -> None:
    values = tf.constant([[1.0, 2.0], [3.0, 4.0], [5.0, 7.0]], dtype)
    for ids in (RAGGED, DENSE):
        assert Lists.of(ids).mean(values).numpy().tolist() == [[2, 3], [0, 0], [5, 7], [0, 0]]


@pytest.mark.parametrize("count", [0, 3])
def test_means_of_nothing_ask_no_kernel_for_them(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def as_on_a_gpu(*_: object, **__: object) -> None:
        raise AssertionError("segment ids must be >= 0")

    monkeypatch.setattr(tf.sparse, "segment_mean", as_on_a_gpu)
    lists = Lists.of(tf.RaggedTensor.from_row_lengths(tf.zeros([0], tf.int64), [0] * count))
    found = lists.mean(tf.zeros([0, 2], tf.bfloat16))
    assert found.shape == [count, 2] and found.dtype == tf.bfloat16 and not found.numpy().any()


def test_lists_of_lists() -> None:
    ragged = tf.ragged.constant([[[4], [1, 3]], [], [[2]]], tf.int64)
    for ids in (ragged, ragged.to_tensor()):
        lists = Lists.of(ids)
        means = lists.mean(tf.cast(lists.members(ids)[0], tf.float32)[:, None])
        assert by_outer_list(means, ids)[..., 0].numpy().tolist() == [[4.0, 2.0], [0.0, 0.0], [2.0, 0.0]]
        filled = [[True, True], [False, False], [True, False]]
        assert by_outer_list(lists.filled(), ids).numpy().tolist() == filled


def test_nothing_at_all() -> None:
    for ids in (tf.zeros([0, 3], tf.int32), tf.zeros([2, 0], tf.int32), tf.zeros([2, 3], tf.int32)):
        lists = Lists.of(ids)
        assert lists.members(ids)[0].shape == [0]
        assert lists.mean(tf.zeros([0, 5])).numpy().tolist() == [[0.0] * 5] * ids.shape[0]


def test_one_below_other() -> None:
    wider = tf.pad(DENSE, [[0, 0], [1, 0]])
    for groups in ([RAGGED, RAGGED[::-1]], [DENSE, wider[::-1]]):
        lists = one_below_other([Lists.of(ids) for ids in groups])
        assert lists.numbers.numpy().tolist() == [0, 0, 2, 5, 7, 7] and int(lists.count) == 8


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.integers(0, 3), min_size=4, max_size=4), min_size=1, max_size=5))
def test_padded_and_ragged_are_one(rows: list[list[int]]) -> None:
    dense = tf.constant(rows, tf.int64)
    ragged = tf.ragged.constant([[one for one in row if one] for row in rows], tf.int64, ragged_rank=1)
    values = np.random.default_rng(1).normal(size=[np.count_nonzero(rows), 3]).astype(np.float32)
    for mine, theirs in zip(Lists.of(dense)[:2], Lists.of(ragged)[:2], strict=True):
        assert mine.numpy().tolist() == theirs.numpy().tolist()
    assert Lists.of(dense).mean(values).numpy().tolist() == Lists.of(ragged).mean(values).numpy().tolist()
