"""What the towers know the items of a catalogue by: their ids in the vocabularies of the training."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from preprocessing.data.features import ITEM_IDS, PRICE
from preprocessing.text.vocabulary_files import Vocabularies
from serving.catalogue.table import Table


def attribute_ids(table: Table, vocabularies: Vocabularies) -> np.ndarray:
    """int32 `[N, 6]` in the order of ITEM_IDS; 0 for what an item has none of, or the towers do not read."""
    found = np.zeros((len(table), len(ITEM_IDS)), np.int32)
    for place, name in enumerate(ITEM_IDS):
        if name not in vocabularies.names:
            continue
        if name == "item":
            found[:, place] = vocabularies.ids(name, tf.constant(table.ids, tf.string))
        elif name == PRICE:
            found[:, place] = _price_bands(table, vocabularies)
        else:
            ids = vocabularies.ids(name, tf.constant(table.names[name], tf.string))
            found[:, place] = ids.numpy()[table.numbers[name]]
    return found


def _price_bands(table: Table, vocabularies: Vocabularies) -> tf.Tensor:
    leaves, tops = (tf.constant(table.names[name][table.numbers[name]], tf.string) for name in ("leaf", "top"))
    return vocabularies.price_bands(tf.constant(table.prices), leaves, tops)
