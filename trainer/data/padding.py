"""Lists padded to few widths, so that a step is compiled for few shapes: those of a device without lists."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import tensorflow as tf

from preprocessing.data.features import STAGES

ABSENT = -1  # the key where no item is; those of items count from 0 on
_POWERS = [1 << power for power in range(31)]
_PREFIXES = tuple(f"{stage}_" for stage in STAGES)


class Padded(tf.experimental.ExtensionType):
    """Lists side by side, what is behind an end 0, or ABSENT as a key."""

    __name__ = "trainer.data.Padded"
    values: tf.Tensor  # [..., L] or, of vectors, [..., L, w]
    lengths: tf.Tensor  # int32 [...], of the innermost lists


class Widths:
    """How wide each feature's lists become: a power of two that the first batches fit in, times another.

    The second is one for all features of a batch, mostly 1: a shape more each time that lists double, no product of
    what features might need. It is a function of the batch alone, so a resumed job sees the same shapes.

    Args:
      first: batches to measure, ragged.
    """

    def __init__(self, first: Iterable[dict[str, Any]]) -> None:
        self._widths: dict[str, int] = {}
        for batch in first:
            for place, longest in _longest(batch):
                self._widths[place] = max(self._widths.get(place, 1), 1 << max(0, int(longest) - 1).bit_length())

    def padded(self, batch: dict[str, Any]) -> dict[str, Any]:
        """A batch with each ragged feature as `Padded`."""
        places, longest = zip(*_longest(batch), strict=True)
        times = _times(tf.stack(longest), tf.constant([self._widths[place] for place in places], tf.int64))
        return {
            part: {name: self._pad(name, value, times) for name, value in features.items()}
            for part, features in batch.items()
        }

    def _pad(self, name: str, value: Any, times: tf.Tensor) -> Any:
        if not isinstance(value, tf.RaggedTensor):
            return value
        widths = [self._widths[place] * times for place in _places(name, value)]
        inner = value.flat_values.shape[1:].as_list()
        filling = tf.constant(ABSENT if name.endswith("_key") else 0, value.dtype)
        lengths = value.row_lengths() if len(widths) == 1 else value.with_values(value.values.row_lengths()).to_tensor()
        values = _to_width(value.to_tensor(filling), [*widths, *inner], filling)
        values = tf.ensure_shape(values, [*[None] * (1 + len(widths)), *inner])
        return Padded(values, _to_width(tf.cast(lengths, tf.int32), widths[:-1], tf.constant(0)))


def _times(longest: tf.Tensor, widths: tf.Tensor) -> tf.Tensor:
    """The least power of two by which the widths hold the longest lists, int32."""
    most = tf.reduce_max((longest + widths - 1) // widths)
    powers = tf.constant(_POWERS, tf.int64)
    return tf.cast(tf.gather(powers, tf.searchsorted(powers, most[None])[0]), tf.int32)


def _to_width(values: tf.Tensor, widths: list[Any], filling: tf.Tensor) -> tf.Tensor:
    """Values `[B, ...]` filled up to `[B, *widths]`."""
    shape = tf.shape(values)
    behind = tf.stack([shape[0], *widths]) - shape
    return tf.pad(values, tf.stack([tf.zeros_like(behind), behind], axis=1), constant_values=filling)


def _longest(batch: dict[str, Any]) -> Iterator[tuple[str, tf.Tensor]]:
    """Each ragged dimension's place, and the longest list there."""
    for features in batch.values():
        for name, value in features.items():
            if isinstance(value, tf.RaggedTensor):
                inner = value
                for place in _places(name, value):
                    yield place, tf.reduce_max(tf.pad(tf.cast(inner.row_lengths(), tf.int64), [[0, 1]]))
                    inner = inner.values


def _places(name: str, value: tf.RaggedTensor) -> list[str]:
    """The names of a feature's ragged dimensions; titles are of one width wherever their items come from."""
    stage = next((prefix for prefix in _PREFIXES if name.startswith(prefix)), "")
    if value.ragged_rank == 2:
        return [stage or f"{name} outer", name.removeprefix(stage)]
    return [stage or name]
