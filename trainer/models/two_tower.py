"""What every model is: a query tower, an item tower, and an objective over their inner products."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_recommenders as tfrs

from trainer.data.padding import Padded
from trainer.losses.objective import Encoded, Objective
from trainer.towers.lists import concat_features
from trainer.towers.noise import Noise
from trainer.towers.stage_items import stage_columns, stage_items


class TwoTower(tfrs.Model):
    """Score = inner product of the two towers' vectors.

    Compiled with an optimizer it trains by `fit`, on the batches of `trainer.data.training_data`.
    """

    def __init__(
        self, query_tower: tf.keras.layers.Layer, item_tower: tf.keras.layers.Layer, objective: Objective, noise: Noise
    ) -> None:
        super().__init__()
        self.query_tower = query_tower
        self.item_tower = item_tower
        self.objective = objective
        self.noise = noise

    @property
    def request_columns(self) -> set[str]:
        """The features of a request that training reads."""
        columns = self.query_tower.columns | self.objective.columns
        for stage in self.objective.stages:
            columns |= stage_columns(stage, self.item_tower.columns | self._leaf)
        return columns

    @property
    def item_columns(self) -> set[str]:
        """The features of a catalogue item that training reads."""
        return {*self.item_tower.columns, *self._leaf, "log_prob"}

    @property
    def _leaf(self) -> set[str]:
        return {"leaf"} if self.objective.reads_leaves else set()

    def train_step(self, inputs: dict[str, Any]) -> dict[str, tf.Tensor]:
        """TFRS's own step; behind it the noise moves on."""
        shown = super().train_step(inputs)
        self.noise.step.assign_add(1)
        return shown

    def compute_loss(self, inputs: dict[str, Any], training: bool = False) -> tf.Tensor:
        """The total of `compute_losses`, as TFRS's `train_step` and `test_step` ask for it."""
        return self.compute_losses(inputs, training)["loss"]

    def compute_losses(self, inputs: dict[str, Any], training: bool = False) -> dict[str, tf.Tensor]:
        """The total ("loss") and its parts, of {"requests": ..., "catalog": ...}."""
        requests, catalog = inputs["requests"], inputs.get("catalog")
        queries = tf.cast(self.query_tower(requests, training=training), tf.float32)
        columns = self.item_tower.columns
        stages = {stage: stage_items(requests, stage, columns) for stage in self.objective.stages}
        parts = [stage.features for stage in stages.values()]
        if catalog is not None:
            parts.append({name: catalog[name] for name in columns})
        # One call of the item tower for all items of a step: few large matrix products.
        vectors = tf.cast(self.item_tower(concat_features(parts), training=training), tf.float32)
        sizes = [tf.shape(stage.keys)[0] for stage in stages.values()]
        by_stage = tf.split(vectors, [*sizes, tf.shape(vectors)[0] - tf.add_n(sizes)])
        encoded = {
            name: Encoded(
                one,
                stage.keys,
                stage.log_prob,
                stage.requests,
                self._leaves(requests, f"{name}_leaf", stage.keys),
                stage.there,
            )
            for (name, stage), one in zip(stages.items(), by_stage, strict=False)
        }
        shared = None
        if catalog is not None:
            nobody = tf.fill(tf.shape(catalog["key"]), -1)
            leaves = self._leaves(catalog, "leaf", catalog["key"])
            shared = Encoded(by_stage[-1], catalog["key"], catalog["log_prob"], nobody, leaves)
        return self.objective(queries, encoded, shared, requests)

    def _leaves(self, features: dict[str, Any], name: str, keys: tf.Tensor) -> tf.Tensor:
        """Ids of the leaves `[n]` of the items with these keys; zeros where the objective asks for none."""
        if not self.objective.reads_leaves:
            return tf.zeros_like(keys)
        found = features[name]
        if isinstance(found, Padded):
            return tf.reshape(found.values, [-1])
        return found.values if isinstance(found, tf.RaggedTensor) else found
