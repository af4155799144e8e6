"""The training loop: compiled steps, several a call, between validations and checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from trainer.config import TrainerConfig
from trainer.data.training_data import TrainingData
from trainer.job.job_folder import Job
from trainer.job.origin import Origin
from trainer.job.outside_words import outside_words
from trainer.losses.replicas import summed
from trainer.models.build import build_model
from trainer.training.carry_over import carry_over
from trainer.training.checkpoints import Checkpoints
from trainer.training.distribution import Placement
from trainer.training.optimizers import build_optimizer
from trainer.training.progress import Display, display
from trainer.training.tensorboard import Journal
from trainer.training.validation import Validation


class Stopped(Exception):
    """Training broke off; the job goes on from its last checkpoint."""


class NotFinite(Stopped):
    """The loss or its gradient is no number any more."""


class Trainer:
    """A model, its optimizer and its data, from the last checkpoint to the last step."""

    def __init__(
        self, config: TrainerConfig, data_dir: str, job: Job, placement: Placement, spec: dict[str, Any]
    ) -> None:
        self._config, self._placement, self._data_dir = config, placement, data_dir
        self._goes_on, self._pipelines = config.init.job is not None, 1
        words = outside_words(config, data_dir, job, placement.chief)
        with placement.strategy.scope():
            self.model = build_model(config, spec, words)
            self.data = TrainingData(data_dir, config, self.model.request_columns, self.model.item_columns)
            self.steps = steps_of(config, self.data.requests)
            self._optimizer = build_optimizer(self.model, config.optimizer, self.steps)
        self.checkpoints = Checkpoints(job, self.model, self._optimizer, config.training, placement.chief)
        self._gradients = self._losses_and_gradients
        if config.training.xla:
            self._gradients = tf.function(self._losses_and_gradients, jit_compile=True)
        self._validates = bool(config.validation.every_steps and spec["examples"]["validation"])
        if self._validates and placement.chief:
            self._validation = Validation(self.model, data_dir, config.validation)
        self._journal = Journal(job.logs, self.model, self._optimizer, config, placement.chief)

    def run(self) -> float | None:
        """Trains to the last step; returns the best recall."""
        step = self.begin()
        batches = self.batches(step)
        with display(self._config.model, self.steps, step, self._placement.chief) as shown:
            if self._goes_on and not step and self._validates:
                self._validate(step, shown)  # what it goes on from may stay the best
            while step < self.steps:
                step = self._advance(batches, step, shown)
                if self._validates and self._due(step, self._config.validation.every_steps):
                    self._validate(step, shown)
                if self._due(step, self._config.training.checkpoint_every_steps):
                    self.checkpoints.save(step)
        if self.checkpoints.best_recall is None:  # nothing was validated
            self.checkpoints.save_best(step, math.nan)
        return self.checkpoints.best_recall

    def begin(self) -> int:
        """The last checkpoint, or the job to go on from, if there is one; returns the steps done."""
        step = self.checkpoints.resume()
        if self._goes_on and self.checkpoints.latest is None:
            origin = Origin(self._config, self._data_dir)
            carry_over(origin, self.model, self._optimizer if self._config.init.optimizer else None)
        self._optimizer.begun.assign(self._optimizer.iterations - step)
        return step

    def batches(self, step: int) -> Iterator[Any]:
        """The batches from `step` on."""
        replicas = self._placement.strategy.num_replicas_in_sync
        if replicas == 1:
            return iter(self.data.batches(step))

        def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
            self._pipelines = context.num_input_pipelines
            return self.data.batches(step, context.num_input_pipelines, context.input_pipeline_id, replicas)

        return iter(self._placement.strategy.distribute_datasets_from_function(of_worker))

    def _due(self, step: int, every: int) -> bool:
        return step % every == 0 or step == self.steps

    def _advance(self, batches: Iterator[Any], step: int, shown: Display) -> int:
        """Steps up to the next halt."""
        halt = self._halt(step, self._config.training.steps_per_call)
        if self._placement.strategy.num_replicas_in_sync > 1:
            halt = step + 1  # collectives of unlike sizes do not stand a loop around them
        begun = time.monotonic()
        done, losses, norm, finite = self.train(batches, tf.constant(halt - step))
        step += int(done)
        if not bool(finite):
            raise NotFinite(self._not_finite(f"step {step - 1} (requests {self._named(step - 1)})"))
        speed = int(done) * self._config.data.batch / (time.monotonic() - begun)
        self._say(shown, step, {name: float(loss) for name, loss in losses.items()}, float(norm), speed)
        return step

    def _halt(self, step: int, *everys: int) -> int:
        """The next step behind which there is something to do: one of `everys`, a checkpoint, a validation, the end."""
        everys = (*everys, self._config.training.checkpoint_every_steps, self._config.validation.every_steps)
        return min(self.steps, *((step // every + 1) * every for every in everys if every))

    def _say(self, shown: Display, step: int, losses: dict[str, float], norm: float, speed: float) -> None:
        self._journal.steps(step, losses, norm, speed)
        shown.step(step, losses["loss"], speed)

    @tf.function(reduce_retracing=True)
    def train(self, batches: Any, steps: tf.Tensor) -> tuple[tf.Tensor, dict[str, tf.Tensor], tf.Tensor, tf.Tensor]:
        """Up to `steps` steps, ended by the first that is not finite: (done, mean losses, last norm, finite)."""
        if self._placement.strategy.num_replicas_in_sync > 1:
            return self._train_together(next(batches))
        totals = {name: tf.zeros([]) for name in self.model.objective.parts}
        norm, finite, done = tf.zeros([]), tf.constant(True), tf.constant(0)
        while done < steps and finite:
            losses, norm = self._one_step(next(batches))
            finite = tf.math.is_finite(losses["loss"]) & tf.math.is_finite(norm)
            totals = {name: totals[name] + losses[name] for name in totals}
            self.model.noise.step.assign_add(1)
            done += 1
        means = {name: total / tf.cast(tf.maximum(done, 1), tf.float32) for name, total in totals.items()}
        return done, means, norm, finite

    def _one_step(self, batch: Any) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """One step of the only replica: (losses, norm of the gradient)."""
        return self.replica_step(batch)

    def _train_together(self, batch: Any) -> tuple[tf.Tensor, dict[str, tf.Tensor], tf.Tensor, tf.Tensor]:
        """The same, one step of all replicas."""
        results = self._placement.strategy.run(self.replica_step, (batch,))
        losses, norm = tf.nest.map_structure(
            lambda x: self._placement.strategy.experimental_local_results(x)[0], results
        )
        self.model.noise.step.assign_add(1)
        return tf.constant(1), losses, norm, tf.math.is_finite(losses["loss"]) & tf.math.is_finite(norm)

    def replica_step(self, batch: Any) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """One step of one replica: (losses, norm of the gradient). TFRS's `train_step` makes the same."""
        losses, gradients = self._gradients(batch)
        norm = self._optimizer.apply_gradients(zip(gradients, self.model.trainable_variables, strict=True))
        return {name: summed(loss) for name, loss in losses.items()}, norm

    def _losses_and_gradients(self, batch: Any) -> tuple[dict[str, tf.Tensor], list[Any]]:
        """Forward and backward: what `training.xla` compiles. Which rows a step touches, no compiler can know."""
        with tf.GradientTape() as tape:
            losses = self.model.compute_losses(batch, training=True)
        return losses, tape.gradient(losses["loss"], self.model.trainable_variables)

    def _named(self, step: int) -> str:
        """Some requests of a step."""
        ids = self.data.request_ids(step, self._pipelines, self._placement.strategy.num_replicas_in_sync)
        return ", ".join(ids[:8]) + (f" and {len(ids) - 8} more" if len(ids) > 8 else "")

    def _not_finite(self, where: str) -> str:
        last = self.checkpoints.latest or "none yet"
        return (
            f"the loss or its gradient was not finite at {where}; the last good checkpoint is "
            f"{last}; a lower optimizer.embedding_rate or clip_norm, or a longer warm-up, is the usual cure"
        )

    def _validate(self, step: int, shown: Display) -> None:
        recall = self._placement.from_chief(self._validation.recall() if self._placement.chief else 0.0)
        best = self.checkpoints.best_recall is None or recall > self.checkpoints.best_recall
        if best:
            self.checkpoints.save_best(step, recall)
        self._journal.recall(step, self._config.validation, recall)
        shown.recall(step, self._config.validation.figure, recall, best)


def steps_of(config: TrainerConfig, requests: int) -> int:
    """How many steps the config asks for; an epoch is one of the log's requests."""
    return config.training.steps or max(1, round(config.training.epochs * requests / config.data.from_log))
