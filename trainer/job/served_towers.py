"""The served form of the towers: two SavedModels from ids to vectors, and beside them what ids are made by."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any

import tensorflow as tf

from preprocessing.data.features import VECTOR
from preprocessing.data.spec import read_spec
from preprocessing.text.vocabulary_files import copy_vocabularies, encoding_of
from trainer.job.job_folder import Job
from trainer.job.outside_words import kept_words
from trainer.models.build import build_model
from trainer.towers.embeddings import Tables
from trainer.towers.horizons import BehaviourItems

Features = dict[str, tf.Tensor]


class ServedTower(tf.Module):
    """A tower on dense int32 ids, padded with 0, and an item's own vector, by the columns that it reads.

    Saved as a layer, it would bring a second, unused graph of each part.
    """

    def __init__(self, tower: tf.keras.layers.Layer) -> None:
        super().__init__(name="served_tower")
        self.columns = frozenset(tower.columns)
        self.parameters = list(tower.variables)
        self._call = lambda features: tower(features, training=False)
        self._query_alone = lambda features: tower.query_alone(features)

    def embed(self, **features: tf.Tensor) -> Features:
        """All columns -> `[B, dim]`."""
        return {"embedding": tf.cast(self._call(features), tf.float32)}

    def embed_query_alone(self, **features: tf.Tensor) -> Features:
        """The columns of the query -> `[B, dim]`, for a user without any past."""
        return {"embedding": tf.cast(self._query_alone(features), tf.float32)}


def _input(column: str, spec: dict[str, Any]) -> tf.TensorSpec:
    """Ids by request or item, one, a list, or a list of lists; or the item's own vector."""
    if column == VECTOR:
        return tf.TensorSpec([None, spec["vector_width"]], tf.float32, column)
    rank = 3 if column == "history_word" else 2 if "_" in column else 1
    return tf.TensorSpec([None] * rank, tf.int32, column)


def write_towers(job: Job, data_dir: str) -> None:
    """Writes `towers/` of the job's best checkpoint; it appears whole or not at all.

    `towers/query` has the signatures `embed` and `embed_query_alone`, `towers/item` has `embed`. `towers/vocab` and
    `towers/encoding.json` are those of the data that the job was trained on (`preprocessing.text.vocabulary_files`).
    """
    tf.keras.mixed_precision.set_global_policy("float32")  # what is served must not depend on how it was trained
    spec = read_spec(data_dir)
    model = build_model(job.config(), spec, kept_words(job))
    tf.train.Checkpoint(model=model).restore(job.best_checkpoint()).expect_partial()
    for part in model.query_tower.submodules:
        if isinstance(part, Tables | BehaviourItems):
            part.fold()
    aside = f"{job.towers}.part"
    if tf.io.gfile.exists(aside):
        tf.io.gfile.rmtree(aside)
    query, item = ServedTower(model.query_tower), ServedTower(model.item_tower)
    alone = {name for name in query.columns if name.startswith("query_")}
    _save(query, os.path.join(aside, "query"), {"embed": query.columns, "embed_query_alone": alone}, spec)
    _save(item, os.path.join(aside, "item"), {"embed": item.columns}, spec)
    names = _vocabularies(query.columns | item.columns) & spec["vocabularies"].keys()
    copy_vocabularies(f"{data_dir}/vocab", names, f"{aside}/vocab")
    encoding = encoding_of(spec if VECTOR in item.columns else spec | {"vector_width": 0}, names)
    with tf.io.gfile.GFile(f"{aside}/encoding.json", "w") as file:
        file.write(json.dumps(encoding, indent=1))
    if tf.io.gfile.exists(job.towers):
        tf.io.gfile.rmtree(job.towers)
    tf.io.gfile.rename(aside, job.towers)


def _vocabularies(columns: Iterable[str]) -> set[str]:
    """What some columns hold: "word" of "title_word", "item" of "long_click_item", "age" of "short_age"."""
    return {column.rsplit("_", 1)[-1] for column in columns}


def _save(tower: ServedTower, path: str, signatures: dict[str, Iterable[str]], spec: dict[str, Any]) -> None:
    """Saves a tower with signatures of some columns each."""
    traced: dict[str, Any] = {}
    for name, columns in signatures.items():
        inputs = {column: _input(column, spec) for column in sorted(columns)}
        traced[name] = tf.function(getattr(tower, name), autograph=False).get_concrete_function(**inputs)
    tf.saved_model.save(tower, path, signatures=traced)
