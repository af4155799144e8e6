"""Lists padded by the input: each place of a list is computed, members or not, in shapes that a compiler knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from trainer.data.padding import Padded


class PaddedLists(NamedTuple):
    """What `Lists` are of ragged ones: the n "members" are all places, list after list."""

    masks: tuple[tf.Tensor, ...]  # bool [lists, L], which places are taken, of groups one below the other

    @classmethod
    def of(cls, ids: Padded) -> PaddedLists:
        """Of ids `[..., L]`."""
        return cls((tf.sequence_mask(tf.reshape(ids.lengths, [-1]), tf.shape(ids.values)[-1]),))

    def members(self, *parallel: Padded) -> list[tf.Tensor]:
        """What stands at the places `[n]` of lists that run in parallel to those that this was made of."""
        return [tf.reshape(ids.values, [-1]) for ids in parallel]

    def mean(self, values: tf.Tensor) -> tf.Tensor:
        """The mean of each list of values at its places `[n, d]`: `[count, d]`, zero of an empty one."""
        groups = tf.split(values, [tf.size(mask) for mask in self.masks]) if len(self.masks) > 1 else [values]
        return tf.concat([_means(group, mask) for group, mask in zip(groups, self.masks, strict=True)], axis=0)

    def mean_of_rows(self, table: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        """The same of their rows `[n]` in a table `[N, d]`."""
        return self.mean(tf.gather(table, rows))

    def filled(self) -> tf.Tensor:
        """Which lists have members: bool `[count]`."""
        return tf.concat([tf.reduce_any(mask, axis=1) for mask in self.masks], axis=0)


class PaddedSequences(NamedTuple):
    """What `Sequences` are of ragged lists: here of all lists, the empty ones too, side by side already."""

    mask: tf.Tensor  # bool [u, T], the places that are taken
    backwards: bool

    def asking(self, values: tf.Tensor) -> tf.Tensor:
        """Values `[B, ...]` of all lists -> of the sequences' lists `[u, ...]`."""
        return values

    def numbered(self) -> tf.Tensor:
        """int32 `[n]`: the place of each member in its list."""
        place = tf.range(tf.shape(self.mask)[1])
        return tf.reshape(tf.where(self.mask, place, 0), [-1])

    def side_by_side(self, values: tf.Tensor) -> tf.Tensor:
        """Values of the members `[n, ...]` -> `[u, T, ...]`."""
        return self._turned(tf.reshape(values, tf.concat([tf.shape(self.mask), values.shape[1:]], axis=0)))

    def by_head(self, values: tf.Tensor, parts: int, heads: int) -> tf.Tensor:
        """The same of `parts` times `heads` pieces `[n, parts * heads * size]` -> `[parts, u, heads, T, size]`."""
        each = [parts, heads, values.shape[1] // (parts * heads)]
        pieces = tf.reshape(self.side_by_side(values), tf.concat([tf.shape(self.mask), each], axis=0))
        return tf.transpose(pieces, [2, 0, 3, 1, 4])

    def by_member(self, values: tf.Tensor) -> tf.Tensor:
        """Values `[u, T, ...]` at places -> of the members `[n, ...]`."""
        return tf.reshape(self._turned(values), [-1, *values.shape[2:]])

    def by_list(self, found: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
        """Values `[u, ...]` -> of all lists, in the shape of others `[B, ...]`, zero of an empty one."""
        filled = tf.reduce_any(self.mask, axis=1)
        return tf.where(tf.reshape(filled, [-1] + [1] * (like.shape.rank - 1)), found, tf.zeros([], found.dtype))

    def _turned(self, values: tf.Tensor) -> tf.Tensor:
        if not self.backwards:
            return values
        lengths = tf.reduce_sum(tf.cast(self.mask, tf.int32), axis=1)
        return tf.reverse_sequence(values, lengths, seq_axis=1, batch_axis=0)


def padded_below_other(groups: Sequence[PaddedLists]) -> PaddedLists:
    """Groups of lists one below the other; they may be of several widths."""
    return PaddedLists(tuple(mask for group in groups for mask in group.masks))


def _means(values: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Values at places `[lists * L, d]`, mask `[lists, L]` -> `[lists, d]`."""
    there = tf.cast(mask, values.dtype)[..., None]
    rows = tf.reshape(values, tf.concat([tf.shape(mask), values.shape[1:]], axis=0))
    return tf.reduce_sum(rows * there, axis=1) / tf.maximum(tf.reduce_sum(there, axis=1), 1)
