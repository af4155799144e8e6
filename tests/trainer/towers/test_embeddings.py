"""Tables of words with vectors from elsewhere beside them."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from trainer.config_models import ItemTableConfig
from trainer.towers.embeddings import Tables
from trainer.towers.noise import Noise

SPEC = {"vocabularies": {"item": {"hash_buckets": 2, "ids": 5}, "word": {"hash_buckets": 2, "ids": 8}}}


def _tables(vectors: np.ndarray | None) -> Tables:
    return Tables(SPEC, {"word": 4, "item": 4}, Noise(1), ItemTableConfig(), vectors)


def _vectors() -> np.ndarray:
    vectors = np.random.default_rng(5).normal(size=(8, 6)).astype(np.float32)
    vectors[[0, 1, 2, 5]] = 0  # padding, buckets, and a word that was not found
    return vectors


def _projection(tables: Tables) -> tf.Variable:
    (found,) = [one for one in tables.trainable_variables if "projection" in one.name]
    return found


def test_a_row_is_what_is_learned_and_the_projected_vector() -> None:
    vectors, tables = _vectors(), _tables(_vectors())
    table, matrix = tables.embeddings[1], _projection(tables)
    assert table.name.startswith("tables/word")
    learned = table.numpy()
    assert not learned[[3, 4, 6, 7]].any() and learned[[0, 1, 2, 5]].all()
    table.assign_add(tf.ones_like(table))
    for ids in (tf.constant([3, 5, 7]), tf.constant([[3, 5], [7, 0]]), tf.constant([[[3], [5]], [[7], [0]]])):
        wanted = (learned + 1 + vectors @ matrix.numpy())[ids.numpy()]
        np.testing.assert_allclose(tables.rows("word", ids), wanted, atol=1e-6)


def test_folded_it_gives_the_same_rows_from_the_table_alone() -> None:
    tables = _tables(_vectors())
    lists = tf.constant([[3, 5, 0], [0, 0, 0], [7, 1, 2]])
    before = tables.rows("word", tf.range(8)).numpy(), tables.mean("word", lists).numpy()
    tables.fold()
    np.testing.assert_allclose(tables.rows("word", tf.range(8)), before[0], atol=1e-6)
    np.testing.assert_allclose(tables.mean("word", lists), before[1], atol=1e-6)
    assert {one.name for one in tables.variables} == {one.name for one in _tables(None).variables}


def test_the_vectors_stay_as_they_are_and_the_projection_is_no_table() -> None:
    tables = _tables(_vectors())
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tables.rows("word", tf.constant([3, 4])))
    gradients = tape.gradient(loss, tables.trainable_variables)
    shapes = {
        one.shape for one, gradient in zip(tables.trainable_variables, gradients, strict=True) if gradient is not None
    }
    assert shapes == {(8, 4), (6, 4)}  # the table and the matrix; the vectors [8, 6] are in neither
    assert _projection(tables).ref() not in {one.ref() for one in tables.embeddings}
