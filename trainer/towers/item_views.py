"""One view of the item a level, each from that level's own inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from trainer.config_models import MmseConfig
from trainer.towers.embeddings import Tables
from trainer.towers.item_vector import ItemVector


class ItemView(tf.keras.layers.Layer):
    """An MLP of its own: no view is a linear map of another, even where two levels read the same inputs."""

    def __init__(self, dim: int, name: str) -> None:
        super().__init__(name=name)
        self._hidden = tf.keras.layers.Dense(2 * dim, "relu", name="hidden")
        # A bias here would add the same to every item of a query: a softmax never sees it.
        self._output = tf.keras.layers.Dense(dim, use_bias=False, name="output")

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """`[N, w]` -> `[N, d]`."""
        return self._output(self._hidden(inputs))


class ItemViews(tf.keras.layers.Layer):
    """A gram's level reads the title in that gram; the levels made of words, words; a horizon, id and attributes.

    The words in order are read with their bigrams, the mix with every gram, id and attributes. The catalogue's own
    vector, where it is on, is one more input of every level.
    """

    def __init__(self, tables: Tables, config: MmseConfig, grains: Sequence[str], horizons: Sequence[str]) -> None:
        super().__init__(name="item_views")
        self.tables = tables
        self._item = config.item
        self._grams: tuple[str, ...] = config.grains.grams
        self._attributed = [*(["mix"] if "mix" in grains else []), *horizons]
        ordered: tuple[str, ...] = tuple(gram for gram in ("bigram", "word") if gram in self._grams)
        of_words: dict[str, tuple[str, ...]] = {"sequence": ordered, "history": ("word",), "mix": self._grams}
        self._titles = {grain: of_words.get(grain, (grain,)) for grain in grains}
        self._views = {level: ItemView(config.dim, f"view_{level}") for level in (*grains, *horizons)}
        self.columns = {f"title_{gram}" for gram in self._grams}
        if self._attributed:
            self.columns |= {*(["item"] if config.item.id else []), *config.item.side}
        self._vector = ItemVector(config.dim) if config.item.vector else None
        self.columns |= ItemVector.columns if config.item.vector else set()

    def call(self, items: dict[str, Any], training: bool = False) -> tf.Tensor:
        """Features of `[N]` items -> `[N, G, d]`."""
        means = {gram: self.tables.mean(gram, items[f"title_{gram}"]) for gram in self._grams}
        inputs = {level: [means[gram] for gram in grams] for level, grams in self._titles.items()}
        if self._attributed:
            attributes = self._attributes(items, training)
            inputs |= {level: [*inputs.get(level, []), *attributes] for level in self._attributed}
        of_all = [self._vector(items)] if self._vector is not None else []
        views = [view(tf.concat([*inputs[level], *of_all], axis=-1)) for level, view in self._views.items()]
        return tf.stack(views, axis=1)

    def _attributes(self, items: dict[str, Any], training: bool) -> list[tf.Tensor]:
        """Id and attributes, `[N, w]` each."""
        parts = [self.tables.rows(name, items[name]) for name in self._item.side]
        if self._item.id:
            parts.append(self.tables.item_rows(items["item"], self._item.id_dropout, training))
        return parts
