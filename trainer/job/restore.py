"""A trained job's towers, ready to encode what `trainer.data.dataset` reads."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from preprocessing.data.spec import read_spec
from trainer.job.job_folder import Job
from trainer.job.outside_words import kept_words
from trainer.models.build import build_model
from trainer.models.two_tower import TwoTower


class TrainedTowers:
    """The best checkpoint's towers; the score of a request and an item is the inner product of their vectors."""

    def __init__(self, model: TwoTower) -> None:
        self._model = model
        self.dim: int = model.query_tower.dim

    @property
    def request_columns(self) -> set[str]:
        """The features `query` reads."""
        return set(self._model.query_tower.columns)

    @property
    def item_columns(self) -> set[str]:
        """The features `item` reads."""
        return set(self._model.item_tower.columns)

    def query(self, features: dict[str, Any]) -> tf.Tensor:
        """Parsed requests -> float32 `[batch, dim]`."""
        return tf.cast(self._model.query_tower(features, training=False), tf.float32)

    def query_alone(self, features: dict[str, Any]) -> tf.Tensor:
        """Their `query_*` features -> the same, for users without any past."""
        return tf.cast(self._model.query_tower.query_alone(features), tf.float32)

    def item(self, features: dict[str, Any]) -> tf.Tensor:
        """Parsed catalogue items -> float32 `[batch, dim]`."""
        return tf.cast(self._model.item_tower(features, training=False), tf.float32)


def restore(job_dir: str, data_dir: str) -> TrainedTowers:
    """Rebuilds the towers from `config.yaml` and the best checkpoint of a job."""
    job = Job(job_dir)
    spec = read_spec(data_dir)
    job.check_data(data_dir)
    model = build_model(job.config(), spec, kept_words(job))
    tf.train.Checkpoint(model=model).restore(job.best_checkpoint()).expect_partial()
    return TrainedTowers(model)
