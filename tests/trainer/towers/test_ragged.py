"""Lists of unequal length."""

from __future__ import annotations

import tensorflow as tf

from trainer.towers.ragged import aligned, mean_lists, padded, ragged


def test_lists() -> None:
    ids = ragged(tf.constant([[3, 1, 0], [0, 0, 0], [2, 0, 0]]))
    assert ids.to_list() == [[3, 1], [], [2]]
    values = tf.constant([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    assert mean_lists(values, ids).numpy().tolist() == [[2.0, 3.0], [0.0, 0.0], [5.0, 6.0]]
    vectors, mask = padded(values, ids, at_least=3)
    assert mask.numpy().tolist() == [[True, True, False], [False] * 3, [True, False, False]]
    assert vectors.numpy()[0].tolist() == [[1.0, 2.0], [3.0, 4.0], [0.0, 0.0]]


def test_none_is_not_padding() -> None:
    found = aligned({"item": tf.constant([[5, 6, 0]]), "brand": tf.constant([[0, 2, 0]])}, "item")
    assert {name: one.to_list() for name, one in found.items()} == {"item": [[5, 6]], "brand": [[0, 2]]}
