"""Kinds and ages of actions as vectors."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.towers.action_signals import ActionSignals, age_bucket
from trainer.towers.noise import Noise

DAY = 86_400


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=30))
def test_older_is_never_in_an_earlier_bucket_and_only_the_unknown_has_0(ages: list[int]) -> None:
    found = age_bucket(tf.constant(sorted(ages), tf.int32)).numpy().tolist()
    assert found == sorted(found) and max(found) <= 44
    assert [bucket == 0 for bucket in found] == [age == 0 for age in sorted(ages)]
    assert age_bucket(tf.constant(sorted(ages), tf.int64)).numpy().tolist() == found


def test_minutes_of_today_and_days_before_are_told_apart() -> None:
    ages = [1, 60, 600, 3_600, 6 * 3_600, DAY, 2 * DAY, 4 * DAY, 10 * DAY, 40 * DAY, 400 * DAY]
    found = age_bucket(tf.constant(ages, tf.int64)).numpy().tolist()
    assert len(set(found[:-1])) == len(ages) - 1
    assert found[-2:] == [44, 44]


def layer(dropout: float) -> ActionSignals:
    made = ActionSignals(4, ("action", "age"), dropout, Noise(1))
    draw = np.random.default_rng(3)
    for variable in made.trainable_variables:
        variable.assign(draw.normal(size=variable.shape))
    return made


def test_the_vector_is_the_sum_and_what_is_no_action_is_unknown() -> None:
    signals = layer(0.0)
    kinds, ages = (variable.numpy() for variable in signals.trainable_variables)
    given = {"action": tf.constant([[1, 4, 0], [-3, 99, 2]]), "age": tf.constant([[60, 0, 1], [-5, 2**30, 2]])}
    buckets = age_bucket(tf.maximum(given["age"], 0)).numpy()
    expected = kinds[[[1, 4, 0], [0, 0, 2]]] + ages[buckets]
    assert np.allclose(signals(given, "today").numpy(), expected)


def test_some_are_unknown_while_training_alone() -> None:
    signals = layer(0.3)
    given = {"action": tf.fill([400], 3), "age": tf.fill([400], 600)}
    served, trained = (signals(given, "today", training=training).numpy() for training in (False, True))
    assert np.allclose(served, served[0])
    differing = np.abs(trained - served).max(axis=1) > 0
    assert 100 < differing.sum() < 300  # of half or so one of the two is lost
    assert np.array_equal(trained, signals(given, "today", training=True).numpy())  # the same step
    assert not np.array_equal(trained, signals(given, "short", training=True).numpy())
