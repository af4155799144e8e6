"""A fixed table for any number of ids."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from preprocessing.command.console import UserError
from trainer.config_models import ItemTableConfig
from trainer.towers.embeddings import Tables
from trainer.towers.hashed_ids import HashedIds
from trainer.towers.noise import Noise

BUCKETS = 2**30


def spec(words: int = 50) -> dict[str, Any]:
    item = {"hash_buckets": BUCKETS, "ids": 1 + BUCKETS + words}
    return {"vocabularies": {"item": item, "word": {"hash_buckets": 2, "ids": 8}}}


@given(
    ids=st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=20),
    buckets=st.sampled_from([1, 100, BUCKETS]),
    shared=st.integers(1, 2**31 - 1),
    hashes=st.integers(1, 8),
)
def test_rows_are_of_their_part_of_the_table(ids: list[int], buckets: int, shared: int, hashes: int) -> None:
    """Padding's first, then those that the unknown share, then each known string's own; one of those counts once."""
    places, count = (one.numpy() for one in HashedIds(buckets, shared, hashes).places(tf.constant(ids, tf.int64)))
    assert places.shape == count.shape == (len(ids), hashes)
    for number, rows, counted in zip(ids, places, count, strict=True):
        if 0 < number <= buckets:
            assert counted.all() and rows.min() >= 1 and rows.max() <= shared
        else:
            assert counted.tolist() == [True] + [False] * (hashes - 1)
            assert rows[0] == (number - buckets + shared if number else 0)


def test_two_hashes_tell_apart_what_one_does_not() -> None:
    """Of 50,000 ids in 1,000 rows, by one function each meets 49 others; by two, a pair is of one in ten."""
    ids = np.random.default_rng(3).choice(BUCKETS, 50_000, replace=False) + 1
    for hashes, least, most in ((1, 0.019, 0.0201), (2, 0.9, 1.0)):
        places = HashedIds(BUCKETS, 1_000, hashes).places(tf.constant(ids))[0].numpy()
        assert least < len(np.unique(places, axis=0)) / len(ids) <= most
        loads = np.bincount(places.ravel(), minlength=1_001)[1:]
        assert loads.min() > 0.3 * loads.mean() and loads.max() < 1.8 * loads.mean()


def test_an_id_is_the_sum_of_its_rows_and_trains_them_all() -> None:
    tables = Tables(spec(), {"item": 4}, Noise(1), ItemTableConfig(hashed_rows=1_000, hashes=3))
    (table,) = tables.embeddings
    assert table.shape == (1 + 1_000 + 50, 4)
    ids = tf.constant([[7, BUCKETS + 1], [BUCKETS, BUCKETS + 50]])
    places, _ = tables._hashed.places(tf.constant([7, BUCKETS]))  # type: ignore[union-attr]
    with tf.GradientTape() as tape:
        rows = tables.rows("item", ids)
        loss = tf.reduce_sum(rows)
    values = table.numpy()
    unknown = values[places.numpy()].sum(axis=1)
    np.testing.assert_allclose(rows, [[unknown[0], values[1_001]], [unknown[1], values[1_050]]], atol=1e-6)
    gradient = tf.convert_to_tensor(tape.gradient(loss, table)).numpy()
    expected = np.zeros_like(values)
    np.add.at(expected, [*places.numpy().ravel(), 1_001, 1_050], 1.0)
    np.testing.assert_array_equal(gradient, expected)


def test_it_is_served_as_it_was_trained() -> None:
    tables = Tables(spec(), {"item": 4}, Noise(1), ItemTableConfig(hashed_rows=1_000))
    lists = tf.constant([[7, BUCKETS + 1, 9], [0, 0, 0], [BUCKETS, 0, 0]])
    rows, means = tables.rows("item", lists[0]).numpy(), tables.mean("item", lists).numpy()
    matrix = tf.random.stateless_normal([4, 3], [1, 2])
    tables.fold()
    np.testing.assert_allclose(tables.rows("item", lists[0]), rows, atol=1e-6)
    np.testing.assert_allclose(tables.mean("item", lists), means, atol=1e-6)
    np.testing.assert_allclose(means, [rows.mean(axis=0), np.zeros(4), tables.rows("item", [BUCKETS])[0]], atol=1e-6)
    (projected,) = tables.projected({"item": matrix})
    np.testing.assert_allclose(tables.gathered("item", projected, lists[0]), rows @ matrix.numpy(), atol=1e-6)


def test_a_vocabulary_that_grows_moves_no_row() -> None:
    """Ids of records stay, rows too: of 50 words and of 80."""
    before, after = (
        Tables(spec(words), {"item": 4}, Noise(1), ItemTableConfig(hashed_rows=1_000)) for words in (50, 80)
    )
    after.embeddings[0].assign(tf.concat([before.embeddings[0], tf.ones([30, 4])], axis=0))
    ids = tf.constant([5, BUCKETS, BUCKETS + 1, BUCKETS + 50])
    np.testing.assert_array_equal(before.rows("item", ids), after.rows("item", ids))


def test_forgotten_items_are_ids_of_the_unknown() -> None:
    tables = Tables(spec(), {"item": 4}, Noise(1), ItemTableConfig(hashed_rows=1_000))
    ids = tables.forget_some(tf.fill([1_000], tf.constant(BUCKETS + 3, tf.int64)), 0.5).numpy()
    unknown = ids[ids != BUCKETS + 3]
    assert 400 < len(unknown) < 600 and unknown.min() >= 1 and unknown.max() <= BUCKETS
    assert len(np.unique(unknown)) == len(unknown)


def test_more_hash_buckets_than_a_table_can_have_rows() -> None:
    with pytest.raises(
        UserError, match=r"item.hash_buckets \(1,073,741,824\) of the data are too many .*tables.item.hashed_rows"
    ):
        Tables(spec(), {"item": 4}, Noise(1), ItemTableConfig())
