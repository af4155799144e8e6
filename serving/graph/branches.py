"""Branches of the graph of which one alone is visited."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import tensorflow as tf
from tensorflow.python.ops.cond_v2 import fast_cond_v2

Outcome = TypeVar("Outcome")


def lazy_cond(condition: tf.Tensor, then: Callable[[], Outcome], otherwise: Callable[[], Outcome]) -> Outcome:
    """`tf.cond`, kept as a call of one side.

    `tf.cond` becomes switches in front of the ops of both sides, and the executor then visits every op of the side not
    taken: for a search that is most of its graph. No public name of TensorFlow leaves a condition as it is.
    """
    if tf.executing_eagerly():
        return tf.cond(condition, then, otherwise)
    return fast_cond_v2(condition, then, otherwise)
