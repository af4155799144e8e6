"""An LSTM as one op."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf


class Lstm(tf.keras.layers.Layer):
    """Keras's LSTM cell over time in `BlockLSTMV2`, a core op with a gradient: no while loop of a dozen ops a step."""

    def __init__(self, dim: int, name: str) -> None:
        super().__init__(name=name, dtype="float32")  # the op knows no bfloat16
        self.cell = tf.keras.layers.LSTMCell(dim, dtype="float32", name="lstm_cell")

    def build(self, shape: tf.TensorShape) -> None:
        """Makes the cell's weights."""
        with tf.name_scope(self.cell.name):
            self.cell.build(shape)
        super().build(shape)

    def call(self, rows: tf.Tensor, training: bool = False, by_cell: bool = False) -> tf.Tensor:
        """`[B, T, d]` -> `[B, T, d]`, T at least 1; what stands behind a row changes nothing before it.

        `by_cell`: in Keras's own loop over the cell, which XLA compiles; it has no kernel of the op.
        """
        steps = tf.transpose(rows, [1, 0, 2])
        if by_cell:
            start = [tf.zeros_like(steps[0])] * 2
            _, outputs, _ = tf.keras.backend.rnn(self.cell, steps, start, time_major=True)
            return tf.transpose(outputs, [1, 0, 2])
        matrix = tf.concat([self.cell.kernel, self.cell.recurrent_kernel], axis=0)
        if training:
            outputs = _trained(steps, matrix, self.cell.bias)
        else:
            outputs = tf.raw_ops.BlockLSTMV2(**_inputs(steps, matrix, self.cell.bias)).h
            # Without it TensorFlow would hand out the wrong gradient that `_trained` mends.
            outputs = tf.raw_ops.PreventGradient(input=outputs, message="call the LSTM with training=True")
        return tf.transpose(outputs, [1, 0, 2])


@tf.custom_gradient
def _trained(
    steps: tf.Tensor, matrix: tf.Tensor, bias: tf.Tensor
) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, ...]]]:
    """The op with its own gradient: TensorFlow registers that of the first version, which has other gates."""
    inputs = _inputs(steps, matrix, bias)
    outputs = tf.raw_ops.BlockLSTMV2(**inputs)

    def gradient(by_outputs: tf.Tensor) -> tuple[tf.Tensor, ...]:
        nothing = tf.zeros_like(outputs.cs)  # nobody reads the cells' states
        found = tf.raw_ops.BlockLSTMGradV2(
            **inputs, **outputs._asdict(), cs_grad=nothing, h_grad=by_outputs, use_peephole=False
        )
        some = tf.size(outputs.h) > 0  # of no row at all the op leaves its gradients as the memory was
        return found.x_grad, *(tf.where(some, one, tf.zeros_like(one)) for one in (found.w_grad, found.b_grad))

    return outputs.h, gradient


def _inputs(steps: tf.Tensor, matrix: tf.Tensor, bias: tf.Tensor) -> dict[str, tf.Tensor]:
    start = tf.zeros_like(steps[0])
    peephole = tf.zeros([steps.shape[-1]])  # which this cell has not, but the op asks for
    return {
        "seq_len_max": tf.shape(steps, tf.int64)[0],
        "x": steps,
        "cs_prev": start,
        "h_prev": start,
        "w": matrix,
        **dict.fromkeys(("wci", "wcf", "wco"), peephole),
        "b": bias,
    }
