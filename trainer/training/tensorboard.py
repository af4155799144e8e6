"""TensorBoard: scalars, rates, histograms of norms, and the config as text."""

from __future__ import annotations

import tensorflow as tf

from preprocessing.command.experiment import resolved_yaml
from trainer.config import TrainerConfig
from trainer.config_training import ValidationConfig
from trainer.models.two_tower import TwoTower
from trainer.training.optimizers import ClippedComposite

_ROWS = 20_000  # of a table, for its histogram


class Journal:
    """Writes what a run says of itself."""

    def __init__(
        self, folder: str, model: TwoTower, optimizer: ClippedComposite, config: TrainerConfig, writes: bool
    ) -> None:
        self._model = model
        self._optimizer = optimizer
        self._histograms = config.training.histograms
        self._writer = tf.summary.create_file_writer(folder) if writes else tf.summary.create_noop_writer()
        with self._writer.as_default():
            tf.summary.text("config", f"```yaml\n{resolved_yaml('trainer', config)}```", step=0)

    def steps(self, step: int, losses: dict[str, float], norm: float, speed: float) -> None:
        """The mean losses of the latest steps, the latest norm of the gradients, the speed."""
        with self._writer.as_default():
            for name, loss in losses.items():
                tf.summary.scalar(f"loss/{name}", loss, step=step)
            tf.summary.scalar("gradient/norm", norm, step=step)
            tf.summary.scalar("speed/examples_per_s", speed, step=step)
            steps = self._optimizer.begun + step
            tf.summary.scalar("rate/embeddings", self._optimizer.embedding_rate(steps), step=step)
            tf.summary.scalar("rate/dense", self._optimizer.dense_rate(steps), step=step)

    def recall(self, step: int, validation: ValidationConfig, recall: float) -> None:
        """A validation, and how long the vectors have become."""
        with self._writer.as_default():
            among = "" if validation.items is None else f"_among_{validation.items}_items"
            tf.summary.scalar(f"validation/recall_at_{validation.k}{among}", recall, step=step)
            if self._histograms:
                for table in self._model.query_tower.tables.embeddings:
                    norms = tf.norm(table[:_ROWS], axis=1)
                    tf.summary.histogram(f"norm/{table.name.split(':')[0]}", norms, step=step)
            self._writer.flush()
