"""The items of users' pasts: from a client's ids to the ids that the query tower reads, one lookup for all lists."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import tensorflow as tf

from preprocessing.data.features import HORIZONS, ITEM_IDS
from preprocessing.text.branches import lazy_cond
from preprocessing.text.vocabulary_files import Vocabularies
from serving.catalogue.data_records import Strings
from serving.graph.item_lookup import ItemLookup
from serving.graph.towers import Features
from serving.index.base import variable
from serving.inputs import SIGNAL_LISTS


class PastItems(tf.Module):
    """The columns `<horizon>_<attribute>` of a query tower.

    What hangs on an item alone, its ids in the tower's vocabularies, is worked out at export, once.

    Args:
      columns: of the tower.
      vocabularies: those that it was trained with.
    """

    def __init__(self, columns: Collection[str], vocabularies: Vocabularies) -> None:
        super().__init__(name="past_items")
        self.vocabularies = vocabularies
        self._columns = columns
        self._horizons = [one for one in HORIZONS if any(column.startswith(f"{one}_") for column in columns)]

    def __call__(self, inputs: Strings) -> Features:
        """A call's `<horizon>_items` and `signals` `[B, N]` -> int32 `[B, N]` a column."""
        if not self._horizons:
            return {}
        lists = [inputs[f"{horizon}_items"] for horizon in self._horizons]
        found = tf.split(self.ids(tf.concat(lists, axis=1)), [one.shape[1] for one in lists], axis=1)
        columns = {
            f"{horizon}_{name}": ids
            for horizon, of_horizon in zip(self._horizons, found, strict=True)
            for name, ids in zip(ITEM_IDS, tf.unstack(of_horizon, axis=2), strict=True)
        }
        columns |= {column: inputs[name] for column, name in SIGNAL_LISTS.items() if column in self._columns}
        return {name: ids for name, ids in columns.items() if name in self._columns}

    @property
    def signals(self) -> list[str]:
        """Which of SIGNAL_LISTS it reads besides the lists of items."""
        return [name for column, name in SIGNAL_LISTS.items() if column in self._columns]

    def ids(self, items: tf.Tensor) -> tf.Tensor:
        """Item ids `[B, n]` -> int32 `[B, n, 6]` in the order of ITEM_IDS; of nobody's the id is all that is known."""
        raise NotImplementedError


class CataloguePast(PastItems):
    """By the rows of the catalogue that is searched, too.

    Args:
      columns: of the tower.
      vocabularies: those that it was trained with.
      items: the catalogue's.
      attribute_ids: int32 `[N, 6]` of its N items, in the order of ITEM_IDS.
    """

    def __init__(
        self, columns: Collection[str], vocabularies: Vocabularies, items: ItemLookup, attribute_ids: np.ndarray
    ) -> None:
        super().__init__(columns, vocabularies)
        self.items = items
        nothing = np.zeros_like(attribute_ids[:1])
        # [1 + N + F, 6], that of no item first
        self.attribute_ids = variable(np.concatenate([nothing, attribute_ids]), tf.int32, "attribute_ids", grows=True)

    def ids(self, items: tf.Tensor) -> tf.Tensor:
        places = self.items.places(items)
        return lazy_cond(
            tf.reduce_any((places == 0) & (items != "")),  # few calls have an id that the index does not know
            lambda: self._with_unknown(items),
            lambda: tf.gather(self.attribute_ids, places),
        )

    def _with_unknown(self, items: tf.Tensor) -> tf.Tensor:
        """The same, where some ids are fresh or nobody's."""
        rows = self.items.rows(items)
        known = tf.gather(self.attribute_ids, rows + 1)
        item = tf.cast(self.vocabularies.ids("item", items), tf.int32)
        own = tf.pad(item[:, :, None], [[0, 0], [0, 0], [0, len(ITEM_IDS) - 1]])
        return tf.where(rows[:, :, None] >= 0, known, own)
