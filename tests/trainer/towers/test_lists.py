"""Lists of unequal length."""

from __future__ import annotations

import tensorflow as tf

from trainer.towers.lists import flat, mean_listed, oldest_first, padded, present, side_by_side

ROWS = [[3, 1], [], [2], []]
DENSE = tf.constant([[3, 1, 0], [0, 0, 0], [0, 2, 0], [0, 0, 0]])  # a place in the middle may be empty


def vectors(ids: tf.Tensor) -> tf.Tensor:
    return tf.stack([tf.cast(ids, tf.float32), 1.0 / tf.cast(ids, tf.float32)], axis=-1)


def test_means_of_ragged_and_of_padded_lists() -> None:
    ragged = tf.ragged.constant(ROWS, tf.int32)
    expected = [[2.0, 2 / 3], [0.0, 0.0], [2.0, 0.5], [0.0, 0.0]]
    filled = tf.where(DENSE == 0, 9, DENSE)  # what stands where no id is does not count
    assert tf.reduce_max(tf.abs(mean_listed(vectors(flat(ragged)), ragged, present(ragged)) - expected)) < 1e-6
    assert tf.reduce_max(tf.abs(mean_listed(vectors(filled), DENSE, present(DENSE)) - expected)) < 1e-6


def test_means_of_lists_of_lists() -> None:
    ragged = tf.ragged.constant([[[4], [1, 3]], [], [[2]]], tf.int32)
    dense = ragged.to_tensor()
    expected = [[4.0, 2.0], [0.0, 0.0], [2.0, 0.0]]
    found = mean_listed(vectors(flat(ragged)), ragged, present(ragged))
    assert found[..., 0].numpy().tolist() == expected
    filled = tf.where(dense == 0, 9, dense)
    assert mean_listed(vectors(filled), dense, present(dense))[..., 0].numpy().tolist() == expected


def test_padded() -> None:
    ragged = tf.ragged.constant(ROWS, tf.int32)
    assert padded(vectors(flat(ragged)), ragged)[..., 0].numpy().tolist() == [[3, 1], [0, 0], [2, 0], [0, 0]]
    assert padded(DENSE, DENSE) is DENSE
    assert present(ragged).numpy().tolist() == [[True, True], [False] * 2, [True, False], [False] * 2]
    assert present(DENSE).numpy()[2].tolist() == [False, True, False]


def test_lists_side_by_side() -> None:
    ragged = tf.ragged.constant(ROWS, tf.int32)
    ids, others = side_by_side([[ragged, ragged + 1], [ragged[::-1], ragged[::-1]]])
    assert ids.to_list() == [[[3, 1], []], [[], [2]], [[2], []], [[], [3, 1]]]
    assert others.to_list() == [[[4, 2], []], [[], [2]], [[3], []], [[], [3, 1]]]
    wider = tf.pad(DENSE, [[0, 0], [0, 1]])
    groups = [[DENSE, DENSE + 1], [wider, wider]]
    both, others = side_by_side(groups)
    assert both.shape == [4, 2, 4] and both[0].numpy().tolist() == [[3, 1, 0, 0], [3, 1, 0, 0]]
    assert others[0].numpy().tolist() == [[4, 2, 1, 0], [3, 1, 0, 0]]
    unknown = tf.function(side_by_side, input_signature=[[[tf.TensorSpec([None, None], tf.int32)] * 2] * 2])
    assert [one.numpy().tolist() for one in unknown(groups)] == [both.numpy().tolist(), others.numpy().tolist()]


def test_oldest_first() -> None:
    rows, mask = oldest_first(tf.cast(DENSE, tf.float32)[..., None], DENSE != 0)
    assert rows[..., 0].numpy()[mask.numpy()].tolist() == [1.0, 3.0, 2.0]
    assert mask.numpy().tolist() == [[True, True], [False] * 2, [True, False], [False] * 2]
    rows, mask = oldest_first(tf.zeros([2, 0, 3]), tf.zeros([2, 0], tf.bool))
    assert rows.shape == [2, 1, 3] and not tf.reduce_any(mask)
