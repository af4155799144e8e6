"""How likely each position of a page was looked at, as its clicks tell."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf


class PositionWeights(tf.Module):
    """w(p) = min(1, the click rate of position p over that of the first); 1 for what has no position.

    Args:
      click_rates: of the positions from the first on; those behind are like the last. None are known of a log
        without pages.
    """

    def __init__(self, click_rates: Sequence[float]) -> None:
        super().__init__(name="position_weights")
        first = click_rates[0] if click_rates else 0.0
        self._by_position = [1.0, *(min(1.0, rate / first) if first else 1.0 for rate in click_rates)]

    def __call__(self, positions: tf.Tensor) -> tf.Tensor:
        """int64 of any shape, counted from 1, 0 for unknown -> float32."""
        return tf.gather(tf.constant(self._by_position), tf.minimum(positions, len(self._by_position) - 1))
