"""Training by workers that make steps of their own, on tables that lie in parts on parameter servers."""

from __future__ import annotations

import time
from typing import Any

import tensorflow as tf

from preprocessing.command.console import UserError
from trainer.config import TrainerConfig
from trainer.training.cluster import read_task
from trainer.training.loop import NotFinite, Stopped, Trainer
from trainer.training.progress import Display


def check_config(config: TrainerConfig, seeds: int | None) -> None:
    """Refuses what does not go with parameter servers."""
    if seeds is not None:
        raise UserError("--seeds does not go with trainer.distribution.strategy parameter_server: start a job a seed")
    if config.init.job is not None:
        raise UserError(
            "--init-from does not go with trainer.distribution.strategy parameter_server: it reads tables as a whole"
        )


class ServersTrainer(Trainer):
    """The chief: it hands steps out to workers, validates and writes. No two runs make the same steps.

    A step is one worker's, on a batch of its own; its gradients meet tables that others have changed meanwhile. A job
    of n steps makes n in all.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        strategy = self._placement.strategy
        if strategy.num_replicas_in_sync > 1:
            raise UserError(
                "trainer.distribution.strategy parameter_server: a worker trains on one device; it has more"
            )
        self._coordinator = tf.distribute.coordinator.ClusterCoordinator(strategy)
        cluster = read_task(self._config.distribution.strategy).cluster
        self._workers = len(cluster["worker"])
        parts = ", ".join(f"{name} in {parts}" for name, parts in self.model.query_tower.tables.parts.items())
        print(f"parts of tables on {len(cluster['ps'])} parameter servers: {parts}")

    def batches(self, step: int) -> Any:
        """On each worker those of its own files, from about where it was."""

        def of_worker() -> tf.data.Dataset:
            worker = tf.distribute.coordinator.experimental_get_current_worker_index()
            return self.data.batches(step // self._workers, self._workers, worker, alone=True)

        return iter(self._coordinator.create_per_worker_dataset(of_worker))

    def _advance(self, batches: Any, step: int, shown: Display) -> int:
        """Steps up to the next halt, for which all workers are waited for."""
        halt, each = self._halt(step), self._config.training.steps_per_call
        begun = time.monotonic()
        try:
            handed_out = [
                self._coordinator.schedule(self.train, args=(batches, tf.constant(min(each, halt - first))))
                for first in range(step, halt, each)
            ]
            self._coordinator.join()
        except (tf.errors.UnavailableError, tf.errors.AbortedError) as error:
            raise Stopped(
                f"a parameter server is lost ({error.message.splitlines()[0]}); start all machines again: the job goes "
                f"on from {self.checkpoints.latest or 'its beginning'}"
            ) from error
        done, losses, norms, finite = zip(*(one.fetch() for one in handed_out), strict=True)
        if not all(finite):
            raise NotFinite(self._not_finite(f"some step of a worker, behind step {step}"))
        speed = (halt - step) * self._config.data.batch / (time.monotonic() - begun)
        shares = [int(steps) / (halt - step) for steps in done]
        means = {
            name: sum(float(one[name]) * share for one, share in zip(losses, shares, strict=True)) for name in losses[0]
        }
        self._say(shown, halt, means, float(norms[-1]), speed)
        return halt

    def _one_step(self, batch: Any) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """On a worker, whose optimizer asks for the strategy's context."""
        strategy = self._placement.strategy
        found = strategy.run(self.replica_step, (batch,))
        return tf.nest.map_structure(lambda one: strategy.experimental_local_results(one)[0], found)
