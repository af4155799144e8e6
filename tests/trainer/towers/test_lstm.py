"""The LSTM of one op against Keras's own."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from trainer.towers.lstm import Lstm


def test_vectors_and_gradients_are_those_of_keras() -> None:
    rows = tf.constant(np.random.default_rng(3).normal(size=[5, 7, 6]).astype(np.float32))
    one, keras = Lstm(6, "lstm"), tf.keras.layers.LSTM(6, return_sequences=True)
    keras(rows), one(rows)
    keras.set_weights([np.random.default_rng(4).normal(size=w.shape) for w in keras.get_weights()])
    one.set_weights(keras.get_weights())
    results = []
    for layer in (one, keras):
        with tf.GradientTape() as tape:
            tape.watch(rows)
            found = layer(rows, training=True)
            loss = tf.reduce_sum(tf.sin(found))
        results.append([found, *tape.gradient(loss, [rows, *layer.trainable_variables])])
    assert len(results[0]) == 5
    for mine, theirs in zip(*results, strict=True):
        assert mine.numpy() == pytest.approx(theirs.numpy(), abs=1e-5)


def test_it_starts_as_keras_does() -> None:
    weights = []
    for layer in (Lstm(6, "lstm"), tf.keras.layers.LSTM(6)):
        layer.build(tf.TensorShape([None, 7, 6]))
        weights.append({one.name.rsplit("/", 1)[-1]: one.numpy() for one in layer.trainable_variables})
    assert weights[0]["bias:0"].tolist() == weights[1]["bias:0"].tolist()  # that of the forget gate is 1
    assert {name: one.shape for name, one in weights[0].items()} == {n: one.shape for n, one in weights[1].items()}
    square = weights[0]["recurrent_kernel:0"]
    assert square @ square.T == pytest.approx(np.eye(6), abs=1e-5)


def test_a_served_call_gives_the_same_and_no_gradient() -> None:
    rows = tf.constant(np.random.default_rng(3).normal(size=[5, 7, 6]).astype(np.float32))
    layer = Lstm(6, "lstm")
    with tf.GradientTape() as tape:
        served = layer(rows)
    assert served.numpy() == pytest.approx(layer(rows, training=True).numpy(), abs=1e-6)
    with pytest.raises(LookupError, match="training=True"):
        tape.gradient(served, layer.trainable_variables)


def test_no_row() -> None:
    assert Lstm(6, "lstm")(tf.zeros([0, 1, 6])).shape == [0, 1, 6]


def test_no_row_moves_no_weight() -> None:
    """A batch in which nobody did anything today."""
    layer = Lstm(4, "lstm")
    rows = tf.zeros([0, 3, 4])
    with tf.GradientTape() as tape:
        found = tf.reduce_sum(layer(rows, training=True))
    for gradient in tape.gradient(found, layer.trainable_variables):
        assert not tf.reduce_any(gradient != 0)
