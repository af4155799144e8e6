"""The served form of the towers: two SavedModels from raw strings, by the analyser and the ids of training."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from preprocessing.data.features import HORIZONS
from preprocessing.data.spec import read_spec
from preprocessing.logs.records import ATTRIBUTES
from trainer.data.vocabularies import Vocabularies
from trainer.job.job_folder import Job
from trainer.models.build import build_model
from trainer.models.two_tower import TwoTower

PLURALS = {"item": "items", "brand": "brands", "shop": "shops", "leaf": "leaves", "top": "tops"}
# The raw name of each attribute of a catalogue item.
ITEM_INPUTS = {
    "item": "item_id",
    "brand": "brand",
    "shop": "shop",
    "leaf": "category_leaf",
    "top": "category_top",
}


def query_inputs() -> dict[str, tf.TensorSpec]:
    """What the query tower takes: strings, lists `[B, N]` padded with ""."""
    lists = ["history_queries", *(f"{horizon}_{plural}" for horizon in HORIZONS for plural in PLURALS.values())]
    inputs = {"query": tf.TensorSpec([None], tf.string, "query")}
    return inputs | {name: tf.TensorSpec([None, None], tf.string, name) for name in lists}


def item_inputs() -> dict[str, tf.TensorSpec]:
    """What the item tower takes: strings `[B]`."""
    return {name: tf.TensorSpec([None], tf.string, name) for name in (*ITEM_INPUTS.values(), "title")}


class ServedQueryTower(tf.Module):
    """A query and its user's past, as strings -> `[B, dim]`."""

    def __init__(self, model: TwoTower, vocabularies: Vocabularies) -> None:
        super().__init__(name="served_query_tower")
        self._vocabularies = vocabularies
        self._columns = frozenset(model.query_tower.columns)
        self._grams = sorted(n.removeprefix("query_") for n in self._columns if n.startswith("query_"))
        self._embed, self.parameters = _without_keras(model.query_tower)

    @tf.function(autograph=False)
    def embed(self, **inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """The signature."""
        grams = self._vocabularies.grains(inputs["query"], self._grams)
        features: dict[str, Any] = {f"query_{name}": ids for name, ids in grams.items()}
        if "history_word" in self._columns:
            features["history_word"] = self._history(inputs["history_queries"])
        for horizon in HORIZONS:
            for name in ATTRIBUTES:
                if f"{horizon}_{name}" in self._columns:
                    strings = inputs[f"{horizon}_{PLURALS[name]}"]
                    features[f"{horizon}_{name}"] = self._vocabularies.ids(name, strings)
        return {"embedding": self._embed(features)}

    def _history(self, queries: tf.Tensor) -> tf.RaggedTensor:
        """Word ids `[B, N, (L)]`; padding is a query without words."""
        words = self._vocabularies.grains(tf.reshape(queries, [-1]), ["word"])["word"]
        batch, width = tf.unstack(tf.shape(queries, words.row_splits.dtype))
        return tf.RaggedTensor.from_uniform_row_length(words, width, nrows=batch)


class ServedItemTower(tf.Module):
    """An item's strings -> `[B, dim]`."""

    def __init__(self, model: TwoTower, vocabularies: Vocabularies) -> None:
        super().__init__(name="served_item_tower")
        self._vocabularies = vocabularies
        self._columns = frozenset(model.item_tower.columns)
        self._grams = sorted(n.removeprefix("title_") for n in self._columns if n.startswith("title_"))
        self._embed, self.parameters = _without_keras(model.item_tower)

    @tf.function(autograph=False)
    def embed(self, **inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """The signature."""
        grams = self._vocabularies.grains(inputs["title"], self._grams) if self._grams else {}
        features: dict[str, Any] = {f"title_{name}": ids for name, ids in grams.items()}
        for name in ATTRIBUTES:
            if name in self._columns:
                features[name] = self._vocabularies.ids(name, inputs[ITEM_INPUTS[name]])
        return {"embedding": self._embed(features)}


def _without_keras(tower: tf.keras.layers.Layer) -> tuple[Callable[[dict[str, Any]], tf.Tensor], list[tf.Variable]]:
    """A tower as a function and its variables: saved as a layer, it would bring a second, unused graph of each part."""

    def embed(features: dict[str, Any]) -> tf.Tensor:
        return tf.cast(tower(features, training=False), tf.float32)

    return embed, list(tower.variables)


def write_towers(job: Job, data_dir: str) -> None:
    """Writes `towers/query` and `towers/item` of the job's best checkpoint; both appear whole or not at all."""
    tf.keras.mixed_precision.set_global_policy("float32")  # what is served must not depend on how it was trained
    spec = read_spec(data_dir)
    model = build_model(job.config(), spec)
    tf.train.Checkpoint(model=model).restore(job.best_checkpoint()).expect_partial()
    vocabularies = {
        tower: Vocabularies(data_dir, spec, _names(columns))
        for tower, columns in (("query", model.query_tower.columns), ("item", model.item_tower.columns))
    }
    aside = f"{job.towers}.part"
    if tf.io.gfile.exists(aside):
        tf.io.gfile.rmtree(aside)
    _save(ServedQueryTower(model, vocabularies["query"]), query_inputs(), os.path.join(aside, "query"))
    _save(ServedItemTower(model, vocabularies["item"]), item_inputs(), os.path.join(aside, "item"))
    if tf.io.gfile.exists(job.towers):
        tf.io.gfile.rmtree(job.towers)
    tf.io.gfile.rename(aside, job.towers)


def _names(columns: set[str]) -> set[str]:
    """The vocabularies behind some columns: "word" of "title_word", "item" of "long_click_item"."""
    return {column.rsplit("_", 1)[-1] for column in columns}


def _save(module: ServedQueryTower | ServedItemTower, inputs: dict[str, tf.TensorSpec], path: str) -> None:
    tf.saved_model.save(module, path, signatures=module.embed.get_concrete_function(**inputs))
