"""The members of lists as rows, and side by side for what looks from one at the others."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
import tensorflow as tf

from trainer.towers.lists import AnyLists
from trainer.towers.padded_lists import PaddedLists, PaddedSequences

AnySequences: TypeAlias = "Sequences | PaddedSequences"


class Sequences(NamedTuple):
    """The u lists that have members, n members in all; side by side as far as the longest goes, T places."""

    lists: tf.Tensor  # int32 [u], which of all lists they are
    mask: tf.Tensor  # bool [u, T], the places that are taken
    places: tf.Tensor  # int32 [n, 2], that of each member
    members: tf.Tensor  # int32 [u, T], that at each place; behind a list's end any other

    @classmethod
    def of(cls, lists: AnyLists, backwards: bool = False) -> AnySequences:
        """Of lists of whatever length; `backwards` each from its end."""
        if isinstance(lists, PaddedLists):
            return PaddedSequences(lists.masks[0], backwards)
        numbers, number, lengths = tf.unique_with_counts(lists.numbers)
        place = tf.range(tf.maximum(tf.reduce_max(lengths), 1))
        mask = place < lengths[:, None]
        last = tf.cumsum(lengths) - 1
        members = (last - lengths + 1)[:, None] + place
        places = tf.cast(tf.where(mask), tf.int32)
        if backwards:
            members = last[:, None] - place
            places = tf.stack([number, tf.gather(last, number) - tf.range(tf.shape(number)[0])], axis=1)
        return cls(numbers, mask, places, tf.clip_by_value(members, 0, tf.shape(number)[0] - 1))

    def asking(self, values: tf.Tensor) -> tf.Tensor:
        """Values `[B, ...]` of all lists -> of the sequences' lists `[u, ...]`."""
        return tf.gather(values, self.lists)

    def numbered(self) -> tf.Tensor:
        """int32 `[n]`: the place of each member in its list."""
        return self.places[:, 1]

    def side_by_side(self, values: tf.Tensor) -> tf.Tensor:
        """Values of the members `[n, ...]` -> `[u, T, ...]`, behind a list's end something that nobody may look at."""

        @tf.custom_gradient
        def spread(values: tf.Tensor) -> tuple[tf.Tensor, object]:
            return tf.gather(values, self.members), lambda by_place: tf.gather_nd(by_place, self.places)

        return spread(values)

    def by_head(self, values: tf.Tensor, parts: int, heads: int) -> tf.Tensor:
        """The same of `parts` times `heads` pieces `[n, parts * heads * size]` -> `[parts, u, heads, T, size]`."""
        each = parts * heads
        piece = np.arange(each, dtype=np.int32).reshape(parts, 1, heads, 1)

        @tf.custom_gradient
        def spread(values: tf.Tensor) -> tuple[tf.Tensor, object]:
            def gradient(by_head: tf.Tensor) -> tf.Tensor:
                by_place = tf.transpose(by_head, [1, 3, 0, 2, 4])
                return tf.reshape(tf.gather_nd(by_place, self.places), tf.shape(values))

            pieces = tf.reshape(values, [-1, values.shape[1] // each])
            return tf.gather(pieces, self.members[:, None] * each + piece), gradient

        return spread(values)

    def by_member(self, values: tf.Tensor) -> tf.Tensor:
        """Values `[u, T, ...]` at places -> of the members `[n, ...]`."""

        @tf.custom_gradient
        def collect(values: tf.Tensor) -> tuple[tf.Tensor, object]:
            def gradient(by_row: tf.Tensor) -> tf.Tensor:  # TensorFlow's own would scatter, one row after the other
                taken = tf.reshape(self.mask, tf.concat([tf.shape(self.mask), [1] * (values.shape.rank - 2)], axis=0))
                return tf.where(taken, tf.gather(by_row, self.members), tf.zeros([], by_row.dtype))

            return tf.gather_nd(values, self.places), gradient

        return collect(values)

    def by_list(self, found: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
        """Values `[u, ...]` -> of all lists, in the shape of others `[B, ...]`, zero of an empty one."""
        return tf.scatter_nd(self.lists[:, None], found, tf.shape(like))
