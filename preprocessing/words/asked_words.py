"""The words of requests as they are looked for: all places side by side, or one after the other what items have."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf


class AskedWords(NamedTuple):
    """Of B requests T terms each."""

    terms: tf.Tensor  # int64 [B, T], NO_TERM for none
    numbers: tf.Tensor  # int32 [B, T], NO_TERM also for what no item of the index has
    weights: tf.Tensor  # float32 [B, T]
    alternatives: tf.Tensor  # int32 [B, T], which alternative each is of: those of a place one behind the other

    def part(self, begin: tf.Tensor, end: tf.Tensor) -> AskedWords:
        """Those of the requests from `begin` to before `end`."""
        return AskedWords(*(one[begin:end] for one in self))


class KnownWords(NamedTuple):
    """The t terms of B requests that items have, request after request."""

    count: tf.Tensor  # int32, B
    requests: tf.Tensor  # int32 [t], rising
    numbers: tf.Tensor  # int32 [t]
    weights: tf.Tensor  # float32 [t]
    alternatives: tf.Tensor  # int32 [t]

    @classmethod
    def of(cls, asked: AskedWords) -> KnownWords:
        """Of what was asked for."""
        places = tf.where(asked.numbers >= 0)
        _, *known = (tf.gather_nd(one, places) for one in asked)
        return cls(tf.shape(asked.numbers)[0], tf.cast(places[:, 0], tf.int32), *known)

    def part(self, places: tf.Tensor) -> KnownWords:
        """Some of the terms, int64 `[n]`, rising."""
        return KnownWords(self.count, *(tf.gather(one, places) for one in self[1:]))

    def by_request(self, values: tf.Tensor, nothing: float) -> tf.Tensor:
        """Values of the terms `[t]` -> `[B, T]`."""
        return by_request(values, self.requests, self.count, nothing)


def by_request(values: tf.Tensor, requests: tf.Tensor, count: tf.Tensor, nothing: float) -> tf.Tensor:
    """Values `[n]` of rising requests below `count`: `[count, most]`, `nothing` behind a request's own."""
    # RaggedTensor.to_tensor has twenty ops around this one.
    return tf.raw_ops.RaggedTensorToTensor(
        shape=tf.constant([-1, -1]),
        values=values,
        default_value=tf.constant(nothing, values.dtype),
        row_partition_tensors=[count, requests],
        row_partition_types=["FIRST_DIM_SIZE", "VALUE_ROWIDS"],
    )
