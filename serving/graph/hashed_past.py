"""The items of users' pasts without a table of their ids: a hash of each and the number of its attributes, 12 bytes.

A model beside the shards of a catalogue searches nothing, so all it has to know of an item is what a tower reads of it.
Items that agree in all attributes share a row of them; the id's own number comes from the vocabulary, which holds the
most frequent items alone.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from preprocessing.data.features import ITEM_IDS
from preprocessing.text.vocabulary_files import Vocabularies
from preprocessing.words.item_words import word_hashes
from preprocessing.words.lists_in_graph import lower_bounds
from serving.graph.past_items import PastItems
from serving.index.base import variable

LAST_HASH = 2**63 - 1  # behind all others, of no item: so every search ends at one


class HashedItems(NamedTuple):
    """What is known of N items."""

    hashes: np.ndarray  # int64 [N], rising, of ids
    numbers: np.ndarray  # int32 [N], rows of `attributes`
    attributes: np.ndarray  # int32 [U, 5], in the order of ITEM_IDS without the item itself; the first of none


def hashed(ids: np.ndarray, attribute_ids: np.ndarray) -> HashedItems:
    """Of items by their ids, object `[n]`, and attributes int32 `[n, 6]`."""
    hashes = word_hashes(tf.constant(ids.tolist(), tf.string)).numpy()
    distinct, numbers = np.unique(attribute_ids[:, 1:], axis=0, return_inverse=True)
    return joined([HashedItems(hashes, numbers.reshape(-1).astype(np.int32), distinct)])


def joined(parts: Sequence[HashedItems]) -> HashedItems:
    """All items of several parts; of two ids with one hash, of which there are next to none, the first is kept."""
    nothing = np.zeros((1, len(ITEM_IDS) - 1), np.int32)
    rows = np.concatenate([nothing, *(one.attributes for one in parts)])
    attributes, places = np.unique(rows, axis=0, return_inverse=True)  # no id is negative, so that of none is the first
    firsts = 1 + np.cumsum([0, *(len(one.attributes) for one in parts)])
    numbers = [places.reshape(-1)[first + one.numbers] for first, one in zip(firsts, parts, strict=False)]
    hashes, order = np.unique(
        np.concatenate([np.zeros(0, np.int64), *(one.hashes for one in parts)]), return_index=True
    )
    return HashedItems(hashes, np.concatenate([np.zeros(0, np.int32), *numbers]).astype(np.int32)[order], attributes)


class HashedPast(PastItems):
    """By hashes alone, fresh items' too.

    Args:
      columns: of the tower.
      vocabularies: those that it was trained with.
      items: of the whole catalogue.
    """

    def __init__(self, columns: Collection[str], vocabularies: Vocabularies, items: HashedItems) -> None:
        super().__init__(columns, vocabularies)
        for prefix, one in (("", items), ("fresh_", joined([]))):
            behind = items_behind(one)
            for name, value in behind._asdict().items():
                grown = variable(value, value.dtype, f"{prefix}{name}", grows=True)
                setattr(self, f"{prefix}{name}", grown)

    def ids(self, items: tf.Tensor) -> tf.Tensor:
        item = tf.cast(self.vocabularies.ids("item", items), tf.int32) if "item" in self.vocabularies.names else None
        flat = tf.reshape(items, [-1])
        hashes = tf.where(flat == "", tf.constant(LAST_HASH - 1, tf.int64), word_hashes(flat))
        # An item is of one of both, so that what the other says of it is 0.
        attributes = self._attributes("", hashes) + self._attributes("fresh_", hashes)
        attributes = tf.reshape(attributes, tf.concat([tf.shape(items), [len(ITEM_IDS) - 1]], axis=0))
        own = tf.zeros_like(attributes[:, :, :1]) if item is None else item[:, :, None]
        return tf.concat([own, attributes], axis=2)

    def _attributes(self, prefix: str, hashes: tf.Tensor) -> tf.Tensor:
        """int32 `[n, 5]` of hashes `[n]`; 0 of one that is not known."""
        known, numbers, attributes = (getattr(self, f"{prefix}{name}").read_value() for name in HashedItems._fields)
        places = lower_bounds(known, hashes)
        found = tf.where(tf.gather(known, places) == hashes, tf.gather(numbers, places), 0)
        return tf.gather(attributes, found)


def items_behind(items: HashedItems) -> HashedItems:
    """With the hash that every search ends at, as a model has them."""
    return items._replace(hashes=np.append(items.hashes, LAST_HASH), numbers=np.append(items.numbers, np.int32(0)))
