"""The training loop: resumes exactly, stops at the first number that is none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import tensorflow as tf
import tf_keras as keras

from preprocessing.console import UserError, progress
from trainer import dataset
from trainer.config import OptimizerConfig, TrainerConfig
from trainer.dataset import Spec
from trainer.model import Retrieval


class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """Rises in equal steps to the rate, then stays."""

    def __init__(self, rate: float, steps: int) -> None:
        self._rate = rate
        self._steps = steps

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        return self._rate * tf.minimum(1.0, (tf.cast(step, tf.float32) + 1.0) / max(self._steps, 1))


class Optimizers(tf.Module):
    """Adagrad for embeddings, whose gradients are sparse, and Adam for the rest, after one clipping of both."""

    def __init__(self, config: OptimizerConfig) -> None:
        super().__init__()
        self._clip_norm = config.clip_norm
        # The legacy classes update only the rows that a batch touched.
        self.embedding = keras.optimizers.legacy.Adagrad(WarmUp(config.embedding_rate, config.warm_up_steps))
        self.dense = keras.optimizers.legacy.Adam(WarmUp(config.dense_rate, config.warm_up_steps))

    def apply(self, gradients: list[Any], variables: list[tf.Variable]) -> None:
        """One update."""
        clipped, _ = tf.clip_by_global_norm(gradients, self._clip_norm)
        pairs = [pair for pair in zip(clipped, variables, strict=True) if pair[0] is not None]
        self.embedding.apply_gradients([pair for pair in pairs if "_embedding/" in pair[1].name])
        self.dense.apply_gradients([pair for pair in pairs if "_embedding/" not in pair[1].name])


class Progress(NamedTuple):
    """Where a training ended."""

    step: int
    loss: float
    data_digest: int  # follows from every request seen and their order


class Trainer:
    """A model, its optimizers, and how far they are; all in one checkpoint."""

    def __init__(self, config: TrainerConfig, data: str, spec: Spec, job_dir: str) -> None:
        self._config, self._data, self._spec = config, data, spec
        keras.utils.set_random_seed(config.seed)  # first weights come from Python's generator
        tf.config.experimental.enable_op_determinism()  # the same seed, the same sums in the same order
        self.model = Retrieval(config, spec)
        self._optimizers = Optimizers(config.optimizer)
        self._step, self._digest = tf.Variable(0, dtype=tf.int64), tf.Variable(0, dtype=tf.int64)
        self._loss = tf.Variable(0.0)
        self._state = tf.train.Checkpoint(
            model=self.model, optimizers=self._optimizers, step=self._step, digest=self._digest, loss=self._loss
        )
        self._checkpoints = tf.train.CheckpointManager(self._state, f"{job_dir}/checkpoints", max_to_keep=3)
        self._update = tf.function(self._update_step, reduce_retracing=True)

    def train(self) -> Progress:
        """From the latest checkpoint, or the start, to the last step."""
        if self._checkpoints.latest_checkpoint:
            # Weights appear when a batch first needs them; a finished job never needs its optimizers' any more.
            self._state.restore(self._checkpoints.latest_checkpoint).expect_partial()
        an_epoch = self._spec["examples"]["train"] // self._config.batch
        if not an_epoch:
            count = self._spec["examples"]["train"]
            raise UserError(f"trainer.batch {self._config.batch} is more than the {count} training requests")
        total = an_epoch * self._config.epochs
        with progress("steps", total=total) as bar:
            bar.advance(int(self._step))
            while int(self._step) < total:
                for requests, items in self._batches(*divmod(int(self._step), an_epoch)):
                    self._one(requests, items)
                    bar.advance()
                self._checkpoints.save()
        return Progress(int(self._step), float(self._loss), int(self._digest))

    def _batches(self, epoch: int, skipped: int) -> Iterator[tuple[Any, Any]]:
        """The rest of an epoch: its order follows from the seed and its number."""
        seed = self._config.seed * 1_000_003 + epoch
        requests = dataset.requests(self._data, self._spec, "train", self._config.batch, seed)
        items = dataset.negatives(self._data, self._spec, max(self._config.loss.shared_negatives, 1), seed)
        return iter(tf.data.Dataset.zip((requests, items)).skip(skipped))

    def _one(self, requests: Any, items: Any) -> None:
        loss = float(self._update(requests, items))
        if loss != loss or loss in (float("inf"), float("-inf")):
            ids = [one.decode() for one in requests["request_id"].numpy()[:5].tolist()]
            last = self._checkpoints.latest_checkpoint or "none"
            raise UserError(
                f"the loss is {loss} at step {int(self._step)} (requests {', '.join(ids)}, ...); the last good "
                f"checkpoint is {last}; lower trainer.optimizer rates or raise trainer.loss.temperature"
            )
        if int(self._step) % self._config.checkpoint_steps == 0:
            self._checkpoints.save()

    def _update_step(self, requests: Any, items: Any) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = self.model.compute_loss((requests, items), training=True)
        variables = self.model.trainable_variables
        self._optimizers.apply(tape.gradient(loss, variables), variables)
        self._step.assign_add(1)
        self._loss.assign(loss)
        seen = tf.strings.to_hash_bucket_fast(requests["request_id"], 2**40)
        self._digest.assign(self._digest * 31 + tf.reduce_sum(seen * tf.range(1, tf.size(seen) + 1, dtype=tf.int64)))
        return loss
