"""A catalogue item's strings, and where it has one the vector of another encoder, to its vector."""

from __future__ import annotations

import tensorflow as tf

from preprocessing.data.features import PRICE, VECTOR
from preprocessing.text.vocabulary_files import Vocabularies
from serving.catalogue.data_records import Strings
from serving.graph.towers import Tower
from serving.inputs import ATTRIBUTE_INPUTS, ITEM_INPUTS, ITEM_PRICE


class ItemEncoder(tf.Module):
    """The item tower behind its vocabularies."""

    def __init__(self, tower: Tower, vocabularies: Vocabularies) -> None:
        super().__init__(name="item_encoder")
        self.tower, self.vocabularies = tower, vocabularies
        self._grams = sorted(one.removeprefix("title_") for one in tower.columns if one.startswith("title_"))

        self.inputs = {name: tf.TensorSpec([None], tf.string, name) for name in ITEM_INPUTS}
        if PRICE in tower.columns:
            self.inputs[ITEM_PRICE] = tf.TensorSpec([None], tf.float32, ITEM_PRICE)
        if self.vector_width:
            self.inputs[VECTOR] = tf.TensorSpec([None, self.vector_width], tf.float32, VECTOR)

    @property
    def dim(self) -> int:
        """The width of the vectors."""
        return self.tower.dim

    @property
    def vector_width(self) -> int:
        """Of the items' own vectors; 0 where the tower reads none."""
        return self.vocabularies.vector_width

    def __call__(self, items: Strings) -> tf.Tensor:
        """Items `[B]` by the names of `inputs`, known or not -> float32 `[B, dim]`."""
        grams = self.vocabularies.encoded(items["title"], self._grams) if self._grams else {}
        features = {f"title_{name}": ids for name, ids in grams.items()}
        for name, column in ATTRIBUTE_INPUTS.items():
            if name in self.tower.columns:
                features[name] = tf.cast(self.vocabularies.ids(name, items[column]), tf.int32)
        if PRICE in self.tower.columns:
            priced = items[ITEM_PRICE], items[ATTRIBUTE_INPUTS["leaf"]], items[ATTRIBUTE_INPUTS["top"]]
            features[PRICE] = tf.cast(self.vocabularies.price_bands(*priced), tf.int32)
        if self.vector_width:
            features[VECTOR] = items[VECTOR]
        return self.tower(features)
