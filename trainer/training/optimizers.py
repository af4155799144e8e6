"""Adagrad for the embedding tables, Adam or Adagrad for the rest: warm-up, decay, one clipping over all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import tensorflow as tf
import tensorflow_recommenders as tfrs

from trainer.config import OptimizerConfig
from trainer.models.two_tower import TwoTower

Gradient: TypeAlias = tf.Tensor | tf.IndexedSlices


class WarmUpAndDecay(tf.keras.optimizers.schedules.LearningRateSchedule):
    """Up in a line from 0, then down to a share of the peak at the last step.

    Args:
      peak: the highest rate.
      steps: of the job.
      config: warm-up and decay.
      begun: steps of the optimizer before the job's first, which were another job's.
    """

    def __init__(self, peak: float, steps: int, config: OptimizerConfig, begun: tf.Variable | int = 0) -> None:
        super().__init__()
        self._peak, self._steps, self._config, self._begun = peak, steps, config, begun

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """The rate of one step of the optimizer."""
        now, config = tf.cast(step - self._begun, tf.float32), self._config
        rise = tf.minimum(1.0, (now + 1) / max(1, config.warmup_steps))
        done = tf.clip_by_value((now - config.warmup_steps) / max(1, self._steps - config.warmup_steps), 0.0, 1.0)
        if config.decay == "cosine":
            done = (1 - tf.cos(done * 3.14159265)) / 2
        elif config.decay == "constant":
            done = tf.zeros_like(done)
        return self._peak * rise * (1 - (1 - config.final_share) * done)

    def get_config(self) -> dict[str, object]:
        return {"peak": self._peak, "steps": self._steps, "config": self._config}


class _SummedOnce:
    """Gradients come with each row once already (the norm needed it), so the library need not look again."""

    def _deduplicate_sparse_grad(self, grads: Sequence[Gradient]) -> Sequence[Gradient]:
        return grads


class _Adagrad(_SummedOnce, tf.keras.optimizers.Adagrad):
    pass


class _Adam(_SummedOnce, tf.keras.optimizers.Adam):
    pass


class ClippedComposite(tfrs.experimental.optimizers.CompositeOptimizer):
    """TFRS's optimizer of two groups of variables, with one clipping over the gradients of both.

    Args:
      tables: the embedding tables, for Adagrad.
      dense: every other variable, for Adam or Adagrad.
      config: which of them, rates, warm-up, decay and the norm to clip at.
      steps: how many there will be, for the decay.
    """

    def __init__(
        self, tables: Sequence[tf.Variable], dense: Sequence[tf.Variable], config: OptimizerConfig, steps: int
    ) -> None:
        self.begun = _steps_before()
        self.embedding_rate = WarmUpAndDecay(config.embedding_rate, steps, config, self.begun)
        self.dense_rate = WarmUpAndDecay(config.dense_rate, steps, config, self.begun)
        self.of_tables = _adagrad(self.embedding_rate, config)
        self.of_dense = (
            _adagrad(self.dense_rate, config)
            if config.dense == "adagrad"
            else _Adam(self.dense_rate, jit_compile=False)
        )
        self.of_tables.build(list(tables))
        self.of_dense.build(list(dense))
        super().__init__([(self.of_tables, lambda: tables), (self.of_dense, lambda: dense)])
        self._in_order = [*tables, *dense]
        self._clip_norm = config.clip_norm

    def apply_gradients(
        self,
        grads_and_vars: Iterable[tuple[Gradient | None, tf.Variable]],
        name: str | None = None,
        experimental_aggregate_gradients: bool = True,
    ) -> tf.Tensor:
        """Updates the variables and gives the norm of all gradients before clipping.

        Under a strategy the gradients are this replica's parts of the sum.
        """
        of_variable = {id(variable): gradient for gradient, variable in grads_and_vars if gradient is not None}
        updated = [variable for variable in self._in_order if id(variable) in of_variable]
        gradients = [of_variable[id(variable)] for variable in updated]
        if experimental_aggregate_gradients:
            gradients = _over_replicas(gradients)
        summed = [sum_rows(gradient) for gradient in gradients]
        norm = tf.linalg.global_norm(summed)
        if self._clip_norm:
            summed, _ = tf.clip_by_global_norm(summed, self._clip_norm, use_norm=norm)
        pairs = list(zip(summed, updated, strict=True))
        super().apply_gradients(pairs, name=name, experimental_aggregate_gradients=False)
        return norm

    @property
    def weights(self) -> list[tf.Variable]:
        """Its variables; the library's own asks for them by the name that older optimizers had."""
        return [*self.of_tables.variables, *self.of_dense.variables]


def _adagrad(rate: WarmUpAndDecay, config: OptimizerConfig) -> _Adagrad:
    return _Adagrad(rate, initial_accumulator_value=config.adagrad_accumulator, jit_compile=False)


def _steps_before() -> tf.Variable:
    once = tf.VariableAggregation.ONLY_FIRST_REPLICA  # replicas make a step together
    return tf.Variable(0, trainable=False, dtype=tf.int64, name="begun", aggregation=once)


def tables_and_dense(model: TwoTower) -> tuple[list[tf.Variable], list[tf.Variable]]:
    """The variables of a model: its tables in the order of their names, and all others."""
    tables = model.query_tower.tables.embeddings
    in_tables = {id(variable) for variable in tables}
    return tables, [variable for variable in model.trainable_variables if id(variable) not in in_tables]


def build_optimizer(model: TwoTower, config: OptimizerConfig, steps: int) -> ClippedComposite:
    """The optimizer of a model for `steps` steps, ready for `model.compile`."""
    return ClippedComposite(*tables_and_dense(model), config, steps)


def _over_replicas(gradients: list[Gradient]) -> list[Gradient]:
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return gradients
    return [_over_replicas_one(gradient, context) for gradient in gradients]


def _over_replicas_one(gradient: Gradient, context: tf.distribute.ReplicaContext) -> Gradient:
    if isinstance(gradient, tf.IndexedSlices):  # TF's own sum of slices mixes up its collectives inside a loop
        values, rows = (context.all_gather(part, axis=0) for part in (gradient.values, gradient.indices))
        return tf.IndexedSlices(values, rows, gradient.dense_shape)
    return context.all_reduce(tf.distribute.ReduceOp.SUM, gradient)


def sum_rows(gradient: Gradient) -> Gradient:
    """A sparse gradient with each row once; without it the norm, and Adagrad, would be wrong."""
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    rows, places = tf.unique(gradient.indices)
    values = tf.math.unsorted_segment_sum(gradient.values, places, tf.size(rows))
    return tf.IndexedSlices(values, rows, gradient.dense_shape)
