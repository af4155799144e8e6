"""Checkpoints: the last, to go on exactly where a run broke off, and the best, to keep."""

from __future__ import annotations

import math

import tensorflow as tf

from trainer.config_training import TrainingConfig
from trainer.job.job_folder import Job
from trainer.models.two_tower import TwoTower
from trainer.training.optimizers import ClippedComposite


class Checkpoints:
    """Everything a step depends on: variables, optimizer, the step (which places the data and the noise)."""

    def __init__(
        self, job: Job, model: TwoTower, optimizer: ClippedComposite, config: TrainingConfig, writes: bool
    ) -> None:
        self._noise = model.noise
        self._writes = writes
        self._best = tf.Variable(math.nan, trainable=False, dtype=tf.float32, name="best_recall")
        everything = tf.train.Checkpoint(
            model=model, optimizers=named(optimizer), noise=model.noise, best_recall=self._best
        )
        self._last = tf.train.CheckpointManager(everything, job.last_checkpoints, config.keep_checkpoints)
        self._kept = tf.train.CheckpointManager(tf.train.Checkpoint(model=model), job.best_checkpoints, max_to_keep=1)
        self._everything = everything

    def resume(self) -> int:
        """Restores the last checkpoint, if there is one; returns the steps done."""
        if self._last.latest_checkpoint:
            self._everything.restore(self._last.latest_checkpoint).assert_existing_objects_matched()
        return int(self._noise.step.numpy())

    def save(self, step: int) -> None:
        """Keeps the state to resume from."""
        if self._writes:
            self._last.save(checkpoint_number=step)

    def save_best(self, step: int, recall: float) -> None:
        """Keeps the model as the best so far."""
        self._best.assign(recall)
        if self._writes:
            self._kept.save(checkpoint_number=step)

    @property
    def best_recall(self) -> float | None:
        """Of the best model so far."""
        value = float(self._best.numpy())
        return None if math.isnan(value) else value

    @property
    def latest(self) -> str | None:
        """The path of the last checkpoint."""
        return self._last.latest_checkpoint


def named(optimizer: ClippedComposite) -> dict[str, tf.keras.optimizers.Optimizer]:
    """An optimizer's two parts, as checkpoints on disk name them."""
    return {"_adagrad": optimizer.of_tables, "_adam": optimizer.of_dense}


def best_recall(job: Job) -> float:
    """The best recall of a job's validations."""
    reader = tf.train.load_checkpoint(tf.train.latest_checkpoint(job.last_checkpoints))
    return float(reader.get_tensor("best_recall/.ATTRIBUTES/VARIABLE_VALUE"))
