"""The embedding tables, shared by both towers: one a vocabulary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from preprocessing.command.console import UserError
from trainer.config_models import ItemTableConfig
from trainer.towers.hashed_ids import HashedIds
from trainer.towers.lists import AnyLists, Ids, Lists
from trainer.towers.noise import Noise
from trainer.towers.sharded_tables import Table, looked_up, parts_of

_STDDEV = 0.1
_MOST_BUCKETS = 2**24  # with a row each: a table of more is a config's mistake


class OutsideRows(tf.keras.layers.Layer):
    """W . vector[id]: vectors from elsewhere, as they are, projected to a table's width.

    The vectors are no part of checkpoints: the job's folder holds them, once.
    """

    def __init__(self, vectors: np.ndarray, width: int, name: str) -> None:
        super().__init__(name=name, dtype="float32")
        variable = tf.Variable(vectors, trainable=False, dtype=tf.float32)
        self._vectors_of = lambda ids: looked_up(variable, ids)  # a layer finds its variables in attributes alone
        self.found = tf.constant(np.any(vectors, axis=1))
        self._projection = self.add_weight(f"{name}/projection", [vectors.shape[1], width])

    def call(self, ids: tf.Tensor) -> tf.Tensor:
        """`[...]` -> `[..., width]`."""
        return tf.tensordot(self._vectors_of(ids), self._projection, axes=1)


class Tables(tf.keras.layers.Layer):
    """id -> vector, for each vocabulary in use. Their gradients are sparse: a step touches the rows it saw.

    Args:
      spec: of the data.
      widths: of each table.
      noise: of the model.
      items: of the table of items.
      word_vectors: float32 `[ids, w]` from elsewhere, zeros where there is none; the table of words then holds what
        is learned beside them, nothing at first.
    """

    def __init__(
        self,
        spec: Mapping[str, Any],
        widths: Mapping[str, int],
        noise: Noise,
        items: ItemTableConfig,
        word_vectors: np.ndarray | None = None,
    ) -> None:
        super().__init__(name="tables", dtype="float32")
        self._noise = noise
        self._compute = tf.keras.mixed_precision.global_policy().compute_dtype
        self._item_buckets = spec["vocabularies"]["item"]["hash_buckets"]
        self._hashed = HashedIds(self._item_buckets, items.hashed_rows, items.hashes) if items.hashed_rows else None
        self._rows = {
            name: self.add_weight(
                name=f"tables/{name}",
                shape=[_rows_of(name, spec, items), width],
                initializer=tf.keras.initializers.RandomNormal(stddev=_STDDEV),
            )
            for name, width in sorted(widths.items())
        }
        self._served = False
        self._outside = None
        if word_vectors is not None and "word" in widths:
            self._outside = OutsideRows(word_vectors, widths["word"], "outside_words")
            words = self._rows["word"]
            words.assign(tf.where(self._outside.found[:, None], 0.0, words))

    @property
    def embeddings(self) -> list[tf.Variable]:
        """The tables themselves, or their parts, whose rows are trained one by one."""
        return [part for table in self._rows.values() for part in parts_of(table)]

    @property
    def names(self) -> list[str]:
        """The vocabularies of the tables, in their order."""
        return list(self._rows)

    @property
    def parts(self) -> dict[str, int]:
        """In how many parts each table lies."""
        return {name: len(parts_of(table)) for name, table in self._rows.items()}

    def fold(self) -> None:
        """Makes the tables those of a served tower, which needs no gradient.

        Vectors from elsewhere become part of their table: one row a word, and no projection. And a mean is read from
        the table in one op, where its gradient would be as large as the table.
        """
        if self._outside is not None:
            self._rows["word"].assign_add(self._outside(tf.range(self._rows["word"].shape[0])))
            self._outside = None
        self._served = True

    def width(self, name: str) -> int:
        """Of a table's rows."""
        return int(self._rows[name].shape[1])

    def projected(self, matrices: Mapping[str, tf.Tensor]) -> list[tf.Variable]:
        """Whole tables through matrices `[width, d]` of their names: `[rows, d]` each, for `gathered`."""
        return [tf.Variable(tf.matmul(self._rows[name], one), name=f"{name}_rows") for name, one in matrices.items()]

    def rows(self, name: str, ids: tf.Tensor) -> tf.Tensor:
        """Vectors of ids: `[..., width]`."""
        return tf.cast(self._whole_rows(name, ids), self._compute)

    def mean(self, name: str, ids: Ids) -> tf.Tensor:
        """The mean vector of each innermost list of ids `[..., (L)]`: `[lists, width]`."""
        lists = Lists.of(ids)
        return self.mean_of(name, lists.members(ids)[0], lists)

    def mean_of(self, name: str, members: tf.Tensor, lists: AnyLists) -> tf.Tensor:
        """The mean vector of each list of which the members `[n]` are given: `[lists, width]`."""
        if self._served and not self._is_hashed(name):
            return lists.mean_of_rows(self._rows[name].read_value(), members)
        return tf.cast(lists.mean(self._whole_rows(name, members)), self._compute)

    def mean_of_none(self, name: str, lists: Ids) -> tf.Tensor:
        """The mean vector of as many empty lists as `lists` `[n, (L)]` are: zeros `[n, width]`."""
        return tf.zeros([tf.shape(lists)[0], self._rows[name].shape[1]], self._compute)

    def item_rows(self, ids: tf.Tensor, forgotten: float, training: bool) -> tf.Tensor:
        """Vectors of item ids `[n]`, while training of some as of unknown ones."""
        return self.rows("item", self.forget_some(ids, forgotten) if training and forgotten else ids)

    def forget_some(self, ids: tf.Tensor, rate: float) -> tf.Tensor:
        """Item ids `[n]`, some replaced by an id of the unknown: that is how a new item will be served."""
        shape = tf.shape(ids)
        unknown = self._noise.integers(shape, "unknown item", 1, 1 + self._item_buckets)
        return tf.where(self._noise.uniform(shape, "forgotten item") < rate, unknown, ids)

    def gathered(self, name: str, table: Table, ids: tf.Tensor) -> tf.Tensor:
        """Of ids `[...]` what a table that runs beside the one of this name holds for them: `[..., d]`."""
        if self._hashed is not None and self._is_hashed(name):
            return self._hashed.summed(table, ids)
        return looked_up(table, ids)

    def _is_hashed(self, name: str) -> bool:
        return name == "item" and self._hashed is not None

    def _whole_rows(self, name: str, ids: tf.Tensor) -> tf.Tensor:
        # What is read whole elsewhere must be read whole here: a variable that is gathered from is copied by reads.
        rows = self.gathered(name, self._rows[name].read_value() if self._served else self._rows[name], ids)
        return rows + self._outside(ids) if name == "word" and self._outside is not None else rows


def _rows_of(name: str, spec: Mapping[str, Any], items: ItemTableConfig) -> int:
    """How many rows the table of a vocabulary has."""
    vocabulary = spec["vocabularies"][name]
    if name == "item" and items.hashed_rows:
        return int(vocabulary["ids"] - vocabulary["hash_buckets"] + items.hashed_rows)
    buckets = vocabulary["hash_buckets"]
    if buckets > _MOST_BUCKETS:
        cure = "tables.item.hashed_rows gives it a fixed table" if name == "item" else "make the records with fewer"
        raise UserError(
            f"preprocessing.vocabularies.{name}.hash_buckets ({buckets:,}) of the data are too many to "
            f"have a row each: {cure}"
        )
    return int(vocabulary["ids"])
