"""The norm of few ops against Keras's own."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from trainer.towers.layer_norm import LayerNormalization


@pytest.mark.parametrize("shape", [[4, 5], [4, 2, 5]])
def test_it_is_keras_norm(shape: list[int]) -> None:
    one, keras = LayerNormalization(), tf.keras.layers.LayerNormalization()
    draw = np.random.default_rng(5)
    rows = tf.constant(draw.normal(size=shape).astype(np.float32))
    one(rows), keras(rows)
    keras.set_weights([draw.normal(size=weight.shape) for weight in keras.get_weights()])
    one.set_weights(keras.get_weights())
    assert one(rows).numpy() == pytest.approx(keras(rows).numpy(), abs=1e-5)
