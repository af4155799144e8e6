"""Recall while training, against sorting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from trainer.config import TrainerConfig, ValidationConfig
from trainer.data.dataset import catalog, requests
from trainer.models.build import build_model
from trainer.training.validation import Validation


def by_sorting(model: Any, data: str, config: ValidationConfig) -> float:
    """One request at a time: the share of its items among the k best."""
    items = next(iter(catalog(data, 10_000)))
    vectors, ids = tf.cast(model.item_tower(items), tf.float32).numpy(), items["item_id"].numpy().tolist()
    shares = []
    for request in requests(data, "validation", 1).take(config.requests):
        scores = vectors @ tf.cast(model.query_tower(request), tf.float32).numpy()[0]
        best = {ids[row] for row in np.argsort(-scores, kind="stable")[: config.k]}
        wanted = [*request["ordered_item_id"].values.numpy(), *request["clicked_item_id"].values.numpy()]
        shares.append(np.mean([one in best for one in wanted]))
    return float(np.mean(shares))


@pytest.mark.parametrize(("k", "block"), [(20, 65_536), (20, 7), (1000, 64)])
def test_recall_is_what_sorting_gives(
    k: int, block: int, config: Callable[..., TrainerConfig], data: str, spec: dict[str, Any]
) -> None:
    """Whatever the block, and also where the catalogue is smaller than k."""
    model = build_model(config("dnn"), spec)
    settings = ValidationConfig(requests=10, k=k, block=block)
    validation = Validation(model, data, settings)
    assert validation.possible
    found = validation.recall()
    assert found == pytest.approx(by_sorting(model, data, settings), abs=1e-6)
    for variable in model.item_tower.trainable_variables:  # the next validation sees what was learned since
        variable.assign(-variable)
    assert validation.recall() == pytest.approx(by_sorting(model, data, settings), abs=1e-6)


def test_half_precision_rounds_no_query(config: Callable[..., TrainerConfig], data: str, spec: dict[str, Any]) -> None:
    """Under mixed precision the towers round; the search over their float32 vectors does not."""
    before = tf.keras.mixed_precision.global_policy()
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = build_model(config("dnn"), spec)
        settings = ValidationConfig(requests=10, k=100)
        found, expected = Validation(model, data, settings).recall(), by_sorting(model, data, settings)
    finally:
        tf.keras.mixed_precision.set_global_policy(before)
    assert 0 < found == pytest.approx(expected, abs=0.1)  # a near tie may fall the other way
