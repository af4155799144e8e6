"""The towers: padding and company change nothing, every part has its switch, every weight learns."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from preprocessing.history import HORIZONS
from trainer import dataset
from trainer.config import TrainerConfig
from trainer.layers import attend, masked_mean, with_zero_row
from trainer.model import Retrieval

Features = dict[str, Any]


def model_of(spec: dataset.Spec, *changes: dict[str, Any]) -> Retrieval:
    values: dict[str, Any] = {"dim": 16, "heads": 2}
    for change in changes:
        values |= change
    keras.utils.set_random_seed(1)
    return Retrieval(TrainerConfig.model_validate({"model": values}), spec)


@pytest.fixture(scope="module")
def requests(data: str, spec: dataset.Spec) -> Features:
    batch = next(iter(dataset.requests(data, spec, "train", 48)))
    assert all(batch[f"{horizon}_item"].values.shape[0] > 0 for horizon in ("realtime", "short", "long_click"))
    return batch


@pytest.fixture(scope="module")
def items(data: str, spec: dataset.Spec) -> Features:
    return next(iter(dataset.catalog(data, spec, 64)))


def rows(features: Features, index: list[int]) -> Features:
    return {name: tf.gather(value, index) for name, value in features.items()}


def test_a_request_is_embedded_alike_in_any_company_and_order(spec: dataset.Spec, requests: Features) -> None:
    model = model_of(spec)
    together = model.query_tower(requests).numpy()
    assert together.shape == (48, 16)
    for index in ([5], [7, 3], list(range(47, -1, -1))):
        np.testing.assert_allclose(model.query_tower(rows(requests, index)), together[index], atol=1e-5)


def test_an_item_is_embedded_alike_in_any_company(spec: dataset.Spec, items: Features) -> None:
    model = model_of(spec)
    together = model.catalog_vectors(items).numpy()
    for index in ([0], [9, 2, 30]):
        np.testing.assert_allclose(model.catalog_vectors(rows(items, index)), together[index], atol=1e-5)


def test_an_empty_history_leaves_the_query_alone_to_decide(spec: dataset.Spec, requests: Features) -> None:
    model = model_of(spec)
    behaviours = {name for name in requests if name.startswith(HORIZONS)} | {"history_word"}
    bare = {name: value[:, :0] if name in behaviours else value for name, value in requests.items()}
    same_query = {**bare, "query": requests["query"]}
    vectors = model.query_tower(same_query).numpy()
    assert np.isfinite(vectors).all()
    texts: dict[tuple[int, ...], np.ndarray] = {}
    for vector, *grains in zip(
        vectors, *(requests[f"query_{g}"].to_list() for g in ("char", "bigram", "word")), strict=True
    ):
        key = tuple(itertools.chain.from_iterable(grains))
        np.testing.assert_allclose(texts.setdefault(key, vector), vector, atol=1e-5)
    assert not np.allclose(vectors, model.query_tower(requests), atol=1e-3)


def test_the_zero_row_lets_a_query_ignore_what_does_not_concern_it() -> None:
    queries, history = tf.constant([[[4.0, 0.0]]]), tf.constant([[[-5.0, 1.0], [-6.0, 2.0]]])
    mask = tf.constant([[True, True]])
    assert float(tf.norm(attend(queries, history, mask))) > 1
    assert float(tf.norm(attend(queries, *with_zero_row(history, mask)))) < 1e-6


def test_attention_and_means_by_hand() -> None:
    history, mask = tf.constant([[[1.0, 0.0], [0.0, 1.0], [9.0, 9.0]]]), tf.constant([[True, True, False]])
    weights = np.exp([2.0, 0.0]) / np.exp([2.0, 0.0]).sum()
    np.testing.assert_allclose(attend(tf.constant([[[2.0, 0.0]]]), history, mask)[0, 0], weights, rtol=1e-6)
    np.testing.assert_allclose(masked_mean(history, mask)[0], [0.5, 0.5])
    np.testing.assert_allclose(masked_mean(history, tf.zeros_like(mask))[0], [0.0, 0.0])


PARTS = [f"grains.{name}" for name in ("char", "bigram", "word", "word_sequence", "history", "mix")]
PARTS += [f"horizons.{name}" for name in ("realtime", "short", "long")]


READ_BY = {"char": ["query_char"], "bigram": ["query_bigram"], "history": ["history_word"], "realtime": ["realtime_"]}
READ_BY |= {"short": ["short_"], "long": ["long_"]}


def without(requests: Features, prefixes: list[str]) -> Features:
    return {
        name: value[:, :0] if name.startswith(tuple(prefixes)) and name != "query" else value
        for name, value in requests.items()
    }


@pytest.mark.parametrize("part", PARTS)
def test_a_switch_takes_out_its_part(spec: dataset.Spec, requests: Features, part: str) -> None:
    section, name = part.split(".")
    model, full = model_of(spec, {section: {name: False}}), model_of(spec)
    vectors = model.query_tower(requests)
    assert not np.allclose(full.query_tower(requests), vectors, atol=1e-5)
    for other, prefixes in READ_BY.items():
        same = np.allclose(model.query_tower(without(requests, prefixes)), vectors, atol=1e-5)
        assert same == (other == name), other


@pytest.mark.parametrize("part", ["item_id", "attributes", "title"])
def test_the_item_towers_switches(spec: dataset.Spec, items: Features, part: str) -> None:
    model = model_of(spec, {"item_tower": {part: False}})
    changed = dict(items)
    for name in {"item_id": ["item"], "attributes": ["brand", "shop", "leaf", "top"], "title": ["title_word"]}[part]:
        changed[name] = tf.zeros_like(items[name])
    np.testing.assert_allclose(model.catalog_vectors(items), model.catalog_vectors(changed), atol=1e-6)
    assert not np.allclose(model_of(spec).catalog_vectors(items), model_of(spec).catalog_vectors(changed), atol=1e-6)


def test_an_items_id_is_dropped_while_training_alone(spec: dataset.Spec, items: Features) -> None:
    model = model_of(spec, {"item_tower": {"item_id_dropout": 0.9}})
    model.catalog_vectors(items)
    without = model.catalog_vectors({**items, "item": tf.zeros_like(items["item"])}).numpy()
    plain, training = model.catalog_vectors(items).numpy(), model.catalog_vectors(items, training=True).numpy()
    dropped = np.isclose(training, without, atol=1e-6).all(axis=1)
    kept = np.isclose(training, plain, atol=1e-6).all(axis=1)
    assert (dropped ^ kept).all()
    assert 0.7 < dropped.mean() < 1.0


def test_gradients_reach_every_variable(spec: dataset.Spec, requests: Features, items: Features) -> None:
    model = model_of(spec)
    with tf.GradientTape() as tape:
        loss = model.compute_loss((requests, items), training=True)
    gradients = tape.gradient(loss, model.trainable_variables)
    names = [variable.name for variable in model.trainable_variables]
    assert len(names) > 40
    for name, gradient in zip(names, gradients, strict=True):
        assert gradient is not None, name
        # A key's bias shifts all scores of a softmax alike, so its gradient is zero in exact arithmetic.
        if "key/bias" not in name:
            assert float(tf.reduce_max(tf.abs(tf.convert_to_tensor(gradient)))) > 0, name
