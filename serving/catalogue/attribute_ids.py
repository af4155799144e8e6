"""What the towers know the items of a catalogue by: their ids in the vocabularies of the training."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from preprocessing.logs.records import ATTRIBUTES
from preprocessing.text.vocabulary_files import Vocabularies
from serving.catalogue.table import Table


def attribute_ids(table: Table, vocabularies: Vocabularies) -> np.ndarray:
    """int32 `[N, 5]` in the order of ATTRIBUTES; 0 for what an item has none of, or the towers do not read."""
    found = np.zeros((len(table), len(ATTRIBUTES)), np.int32)
    for place, name in enumerate(ATTRIBUTES):
        if name == "item":
            found[:, place] = _ids(vocabularies, name, table.ids)
        else:
            found[:, place] = _ids(vocabularies, name, table.names[name])[table.numbers[name]]
    return found


def _ids(vocabularies: Vocabularies, name: str, strings: np.ndarray) -> np.ndarray:
    if name not in vocabularies.names:
        return np.zeros(len(strings), np.int32)
    return vocabularies.ids(name, tf.constant(strings, tf.string)).numpy()
