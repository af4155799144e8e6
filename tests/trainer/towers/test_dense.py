"""The layers of few ops against Keras's own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from trainer.towers.dense import Dense, LayerNormalization

Make = Callable[[], tf.keras.layers.Layer]


@pytest.mark.parametrize(
    "make, make_keras",
    [
        (lambda: Dense(3, "relu"), lambda: tf.keras.layers.Dense(3, "relu")),
        (lambda: Dense(3, use_bias=False), lambda: tf.keras.layers.Dense(3, use_bias=False)),
        (LayerNormalization, tf.keras.layers.LayerNormalization),
    ],
)
@pytest.mark.parametrize("shape", [[4, 5], [4, 2, 5]])
def test_they_are_keras_layers(make: Make, make_keras: Make, shape: list[int]) -> None:
    one, keras = make(), make_keras()
    draw = np.random.default_rng(5)
    rows = tf.constant(draw.normal(size=shape).astype(np.float32))
    one(rows), keras(rows)
    keras.set_weights([draw.normal(size=weight.shape) for weight in keras.get_weights()])
    one.set_weights(keras.get_weights())
    assert one(rows).numpy() == pytest.approx(keras(rows).numpy(), abs=1e-5)
