"""Adagrad for the embedding tables, Adam for the rest: warm-up, decay, one clipping over all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import tensorflow as tf

from trainer.config import OptimizerConfig

Gradient: TypeAlias = tf.Tensor | tf.IndexedSlices


class WarmUpAndDecay(tf.keras.optimizers.schedules.LearningRateSchedule):
    """Up in a line from 0, then down to a share of the peak at the last step."""

    def __init__(self, peak: float, steps: int, config: OptimizerConfig) -> None:
        super().__init__()
        self._peak, self._steps, self._config = peak, steps, config

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """The rate of one step."""
        now, config = tf.cast(step, tf.float32), self._config
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


class Optimizers(tf.Module):
    """One update of all variables, each by its group's rule."""

    def __init__(
        self, tables: Sequence[tf.Variable], dense: Sequence[tf.Variable], config: OptimizerConfig, steps: int
    ) -> None:
        super().__init__(name="optimizers")
        self._clip_norm = config.clip_norm
        self._count = len(tables)
        self.variables_in_order = [*tables, *dense]
        self.embedding_rate = WarmUpAndDecay(config.embedding_rate, steps, config)
        self.dense_rate = WarmUpAndDecay(config.dense_rate, steps, config)
        self._adagrad = _Adagrad(
            self.embedding_rate, initial_accumulator_value=config.embedding_accumulator, jit_compile=False
        )
        self._adam = _Adam(self.dense_rate, jit_compile=False)
        self._adagrad.build(list(tables))
        self._adam.build(list(dense))

    def apply(self, gradients: Sequence[Gradient | None]) -> tf.Tensor:
        """Updates `variables_in_order` and gives the norm of all gradients before clipping.

        Under a strategy the gradients are this replica's parts of the sum.
        """
        given = [(g, v) for g, v in zip(gradients, self.variables_in_order, strict=True) if g is not None]
        summed = [sum_rows(g) for g in _over_replicas([g for g, _ in given])]
        norm = tf.linalg.global_norm(summed)
        if self._clip_norm:
            summed, _ = tf.clip_by_global_norm(summed, self._clip_norm, use_norm=norm)
        tables = {id(v) for v in self.variables_in_order[: self._count]}
        pairs = list(zip(summed, [v for _, v in given], strict=True))
        self._adagrad.apply_gradients([p for p in pairs if id(p[1]) in tables], skip_gradients_aggregation=True)
        dense = [p for p in pairs if id(p[1]) not in tables]
        if dense:
            self._adam.apply_gradients(dense, skip_gradients_aggregation=True)
        return norm


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
