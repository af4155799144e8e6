"""Branches and loops of the graph as calls: of what is not taken no op is visited."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import tensorflow as tf
from tensorflow.core.framework import attr_value_pb2
from tensorflow.python.ops.cond_v2 import fast_cond_v2

Outcome = TypeVar("Outcome")
State = TypeVar("State")


def lazy_cond(condition: tf.Tensor, then: Callable[[], Outcome], otherwise: Callable[[], Outcome]) -> Outcome:
    """`tf.cond`, kept as a call of one side.

    `tf.cond` becomes switches in front of the ops of both sides, and the executor then visits every op of the side not
    taken: for a search that is most of its graph. No public name of TensorFlow leaves a condition as it is.
    """
    if tf.executing_eagerly():
        return tf.cond(condition, then, otherwise)
    return fast_cond_v2(condition, then, otherwise)


def lazy_loop(
    count: tf.Tensor, step: int, body: Callable[[tf.Tensor, State], State], start: State, shapes: Any = None
) -> State:
    """`body(0, start)`, then `body(step, ...)`, and so on below int `count`, kept as calls.

    `tf.while_loop` becomes switches and merges, which cost more than a short body does; and within branches that are
    kept as calls TensorFlow's own optimizer breaks them ("Retval does not have value").
    """

    def next_step(place: tf.Tensor, state: State) -> tuple[tf.Tensor, State]:
        return place + step, body(place, state)

    invariants = None if shapes is None else (tf.TensorShape([]), shapes)
    first = (tf.zeros_like(count), start)
    place, state = tf.while_loop(lambda place, _: place < count, next_step, first, invariants, parallel_iterations=1)
    if not tf.executing_eagerly():
        loop = place.op.inputs[0].op if place.op.type == "Identity" else place.op
        loop._set_attr("_lower_using_switch_merge", attr_value_pb2.AttrValue(b=False))
    return state
