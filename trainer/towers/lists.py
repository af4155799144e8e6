"""Lists of ids, ragged as records have them or padded with 0 as requests do: their members one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

import tensorflow as tf

from trainer.data.padding import Padded
from trainer.towers.padded_lists import PaddedLists, padded_below_other

Ids: TypeAlias = tf.Tensor | tf.RaggedTensor | Padded
AnyLists: TypeAlias = "Lists | PaddedLists"


class Lists(NamedTuple):
    """The n members of the innermost lists, list after list: what is computed of them costs what is there."""

    numbers: tf.Tensor  # int32 [n], the list that each is of
    count: tf.Tensor  # int32, how many lists there are, with the empty ones
    places: tf.Tensor | None  # int32 [n, 2], of padded lists: list and place in it

    @classmethod
    def of(cls, ids: Ids) -> AnyLists:
        """Of ids `[..., (L)]`: in ragged ones each counts, in padded ones what is not 0, wherever it stands."""
        if isinstance(ids, Padded):
            return PaddedLists.of(ids)
        if isinstance(ids, tf.RaggedTensor):
            inner = _innermost(ids)
            return cls(tf.cast(inner.value_rowids(), tf.int32), inner.nrows(tf.int32), None)
        rows = _rows(ids)
        places = tf.cast(tf.where(rows != 0), tf.int32)
        return cls(places[:, 0], tf.shape(rows)[0], places)

    def members(self, *parallel: Ids) -> list[tf.Tensor]:
        """The members `[n]` of lists that run in parallel to those that this was made of."""
        if self.places is None:
            return [ids.flat_values for ids in parallel]
        if len(parallel) == 1:
            return [tf.gather_nd(_rows(parallel[0]), self.places)]
        return tf.unstack(tf.gather_nd(tf.stack([_rows(ids) for ids in parallel], axis=-1), self.places), axis=1)

    def mean(self, values: tf.Tensor) -> tf.Tensor:
        """The mean of each list of values of its members `[n, d]`: `[count, d]`, zero of an empty one."""
        return self.mean_of_rows(values, tf.range(tf.shape(self.numbers)[0]))

    def mean_of_rows(self, table: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        """The same of its members' rows `[n]` in a table `[N, d]`."""
        # A model is built on no requests at all, of which a GPU's kernel makes an error.
        if tf.executing_eagerly() and not tf.size(self.numbers):
            return tf.zeros([self.count, table.shape[-1]], table.dtype)
        return tf.sparse.segment_mean(table, rows, self.numbers, num_segments=self.count)

    def filled(self) -> tf.Tensor:
        """Which lists have members: bool `[count]`."""
        return tf.math.unsorted_segment_sum(tf.ones_like(self.numbers), self.numbers, self.count) > 0


def one_below_other(groups: Sequence[AnyLists]) -> AnyLists:
    """Lists whose members, too, are put one group below the other."""
    ragged = [group for group in groups if isinstance(group, Lists)]
    if not ragged:
        return padded_below_other([group for group in groups if isinstance(group, PaddedLists)])
    first = tf.cumsum([group.count for group in ragged], exclusive=True)
    numbers = [group.numbers + before for group, before in zip(ragged, tf.unstack(first), strict=True)]
    return Lists(tf.concat(numbers, axis=0), tf.add_n([group.count for group in ragged]), None)


def by_outer_list(values: tf.Tensor, ids: Ids) -> tf.Tensor:
    """Values of the innermost lists of ids `[B, (n), (L)]`, `[count, ...]` -> `[B, n, ...]`, zero behind."""
    if isinstance(ids, tf.RaggedTensor):
        return ids.with_values(values).to_tensor()
    outer = tf.shape(ids.lengths if isinstance(ids, Padded) else ids)[:2]
    return tf.reshape(values, tf.concat([outer, values.shape[1:]], axis=0))


def concat_features(parts: Iterable[dict[str, Ids]]) -> dict[str, Ids]:
    """Feature dictionaries one below the other; they share their names."""
    parts = list(parts)
    return {name: _concat([part[name] for part in parts]) for name in parts[0]}


def _concat(parts: list[Ids]) -> Ids:
    if isinstance(parts[0], Padded):  # of one width
        return Padded(
            tf.concat([one.values for one in parts], axis=0), tf.concat([one.lengths for one in parts], axis=0)
        )
    return tf.concat(parts, axis=0)


def _innermost(ids: tf.RaggedTensor) -> tf.RaggedTensor:
    return _innermost(ids.values) if ids.ragged_rank > 1 else ids


def _rows(ids: tf.Tensor) -> tf.Tensor:
    """Padded ids `[..., L]` as `[lists, L]`."""
    if ids.shape.rank == 2:
        return ids
    shape = tf.shape(ids)  # -1 would say nothing of lists that are all of no width
    return tf.reshape(ids, tf.stack([tf.reduce_prod(shape[:-1]), shape[-1]]))
