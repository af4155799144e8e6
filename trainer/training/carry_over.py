"""Weights of the job that another goes on from: rows of tables by their strings, all else as it is."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from trainer.job.origin import Origin
from trainer.job.outside_words import kept_words
from trainer.models.build import build_model
from trainer.models.two_tower import TwoTower
from trainer.training.checkpoints import named
from trainer.training.optimizers import ClippedComposite, build_optimizer, tables_and_dense


def carry_over(origin: Origin, model: TwoTower, optimizer: ClippedComposite | None) -> None:
    """Gives a new model the weights of the origin's best checkpoint; strings that it did not know keep their own.

    Args:
      origin: where they come from.
      model: just made.
      optimizer: also just made, if it is to go on from what the origin's had summed up at its last step.
    """
    known = build_model(origin.config, origin.spec, kept_words(origin.job))
    tf.train.Checkpoint(model=known).restore(origin.job.best_checkpoint()).assert_existing_objects_matched()
    places = [origin.places(name) for name in model.query_tower.tables.names]
    (tables, dense), (new_tables, new_dense) = tables_and_dense(known), tables_and_dense(model)
    _carry_rows(tables, new_tables, places)
    _copy(dense, new_dense)
    if optimizer is None:
        return
    before = build_optimizer(known, origin.config.optimizer, steps=1)
    last = tf.train.latest_checkpoint(origin.job.last_checkpoints)
    tf.train.Checkpoint(optimizers=named(before)).restore(last).assert_existing_objects_matched().expect_partial()
    steps, *sums = before.of_tables.variables
    new_steps, *new_sums = optimizer.of_tables.variables
    new_steps.assign(steps)
    _carry_rows(sums, new_sums, places)
    _copy(before.of_dense.variables, optimizer.of_dense.variables)


def _carry_rows(before: list[tf.Variable], after: list[tf.Variable], places: list[np.ndarray]) -> None:
    for old, new, place in zip(before, after, places, strict=True):
        found = tf.constant(place >= 0)[:, None]
        new.assign(tf.where(found, tf.gather(old, np.maximum(place, 0)), new))


def _copy(before: list[tf.Variable], after: list[tf.Variable]) -> None:
    for old, new in zip(before, after, strict=True):
        new.assign(old)
