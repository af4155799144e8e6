"""Rows of lists, and their places side by side."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.towers.lists import Lists
from trainer.towers.sequences import Sequences

LENGTHS = st.lists(st.integers(0, 4), max_size=6)


def sequences_of(lengths: list[int], backwards: bool) -> Sequences:
    numbers = tf.constant(np.repeat(np.arange(len(lengths)), lengths), tf.int32)
    return Sequences.of(Lists(numbers, tf.constant(len(lengths)), None), backwards)


@settings(max_examples=60, deadline=None)
@given(LENGTHS, st.booleans())
def test_each_member_stands_in_its_list(lengths: list[int], backwards: bool) -> None:
    sequences = sequences_of(lengths, backwards)
    values = tf.range(sum(lengths)) * 10
    expected = [part[::-1] if backwards else part for part in np.split(values, np.cumsum(lengths)[:-1]) if len(part)]
    placed, mask = sequences.side_by_side(values).numpy(), sequences.mask.numpy()
    assert sequences.lists.numpy().tolist() == [number for number, length in enumerate(lengths) if length]
    assert mask.shape[1] == max([*lengths, 1])
    assert [row[taken].tolist() for row, taken in zip(placed, mask, strict=True)] == [one.tolist() for one in expected]
    assert sequences.by_member(tf.constant(placed)).numpy().tolist() == values.numpy().tolist()
    found = sequences.by_list(tf.gather(lengths, sequences.lists), tf.zeros([len(lengths)]))
    assert found.numpy().tolist() == lengths


@pytest.mark.parametrize("backwards", [False, True])
def test_gradients_are_those_of_the_places_that_are_taken(backwards: bool) -> None:
    sequences = sequences_of([2, 0, 3, 1], backwards)
    draw = np.random.default_rng(2)
    values, weights = (tf.constant(draw.normal(size=shape), tf.float32) for shape in ([6, 2], [3, 3, 2]))
    taken = tf.cast(sequences.mask, tf.float32)[..., None]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([values, weights])
        placed = tf.reduce_sum(sequences.side_by_side(values) * weights * taken)
        by_member = tf.reduce_sum(sequences.by_member(weights) * values)
    scattered = tf.tensor_scatter_nd_update(tf.zeros([3, 3, 2]), sequences.places, values)
    assert tape.gradient(placed, values).numpy() == pytest.approx(tf.gather_nd(weights, sequences.places).numpy())
    assert tape.gradient(by_member, weights).numpy() == pytest.approx(scattered.numpy())


@pytest.mark.parametrize("backwards", [False, True])
def test_pieces_by_head_are_those_of_the_rows_side_by_side(backwards: bool) -> None:
    sequences, draw = sequences_of([2, 0, 3, 1], backwards), np.random.default_rng(3)
    values, weights = (tf.constant(draw.normal(size=shape), tf.float32) for shape in ([6, 12], [2, 3, 3, 3, 2]))
    taken = tf.cast(sequences.mask, tf.float32)[None, :, None, :, None]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(values)
        found = sequences.by_head(values, 2, 3)
        pieces = tf.reshape(sequences.side_by_side(values), [3, 3, 2, 3, 2])
        expected = tf.transpose(pieces, [2, 0, 3, 1, 4])
        sums = [tf.reduce_sum(one * weights * taken) for one in (found, expected)]
    assert found.numpy().tolist() == expected.numpy().tolist()
    by_head, by_row = (tape.gradient(one, values).numpy() for one in sums)
    assert by_head == pytest.approx(by_row)
