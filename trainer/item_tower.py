"""The item tower: `e + tanh(W_t . mean(title words))`, the same for positives, negatives and the catalogue."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf
import tf_keras as keras

from preprocessing.records import ATTRIBUTES
from trainer.config import ModelConfig
from trainer.layers import Embeddings, masked_mean


class ItemTower(keras.Model):
    """Items to vectors `[m, d]`."""

    def __init__(self, config: ModelConfig, embeddings: Embeddings, random: tf.random.Generator) -> None:
        super().__init__(name="item_tower")
        self._config = config.item_tower
        self._embeddings = embeddings
        self._random = random
        self._attributes = keras.layers.Dense(config.dim, name="attributes")
        self._title = keras.layers.Dense(config.dim, "tanh", name="title")

    def call(self, ids: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:  # type: ignore[override]
        """`ids`: item, brand, shop, leaf, top `[m]` and title_word `[m, words]`, 0 for padding."""
        parts = []
        if self._config.item_id:
            parts.append(self._embeddings.of("item", self._dropped(ids["item"], training)))
        if self._config.attributes:
            sides = [self._embeddings.of(name, ids[name]) for name in ATTRIBUTES if name != "item"]
            parts.append(self._attributes(tf.concat(sides, axis=-1)))
        if self._config.title:
            words = ids["title_word"]
            parts.append(self._title(masked_mean(self._embeddings.of("word", words), words > 0)))
        return tf.add_n(parts)

    def _dropped(self, items: tf.Tensor, training: bool) -> tf.Tensor:
        """While training some items go without their id, as an item does that was never seen."""
        if not training or not self._config.item_id_dropout:
            return items
        kept = self._random.uniform(tf.shape(items)) >= self._config.item_id_dropout
        return tf.where(kept, items, tf.zeros_like(items))
