"""Recall while training, against sorting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from trainer.config import TrainerConfig
from trainer.config_training import ValidationConfig
from trainer.data.dataset import catalog, key_of, requests
from trainer.models.build import build_model
from trainer.training.validation import Validation


def by_sorting(model: Any, data: str, config: ValidationConfig, sampled: set[bytes] | None = None) -> float:
    """One request at a time: the share of its items among the k best, of all items or of some."""
    items = next(iter(catalog(data, 10_000)))
    vectors, ids = tf.cast(model.item_tower(items), tf.float32).numpy(), items["item_id"].numpy().tolist()
    if sampled is not None:
        rows = [row for row, item_id in enumerate(ids) if item_id in sampled]
        vectors, ids = vectors[rows], [ids[row] for row in rows]
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


def test_a_sample_of_the_catalogue(config: Callable[..., TrainerConfig], data: str, spec: dict[str, Any]) -> None:
    """Recall among about so many items and all answers, the same items each time."""
    model = build_model(config("dnn"), spec)
    settings = ValidationConfig(requests=60, k=20, block=64, items=100)
    validation = Validation(model, data, settings)
    answers: set[bytes] = set()
    for request in requests(data, "validation", 60).take(1):
        for stage in ("ordered", "clicked"):
            answers.update(request[f"{stage}_item_id"].values.numpy().tolist())
    keys = [[int(key) for key in keys.numpy()] for keys, _ in validation._blocks()]
    seen = {item_id for item_id, key in keys_of(data).items() if key in {one for block in keys for one in block}}
    assert answers & keys_of(data).keys() <= seen and 30 < len(seen - answers) < 140
    found = validation.recall()
    assert found == pytest.approx(by_sorting(model, data, settings, seen), abs=1e-6) == validation.recall()
    assert found > by_sorting(model, data, settings)  # fewer to be above
    assert settings.figure == "recall@20 among about 100 items"


def keys_of(data: str) -> dict[bytes, int]:
    ids = next(iter(catalog(data, 10_000, {"item_id"})))["item_id"]
    return dict(zip(ids.numpy().tolist(), key_of(ids).numpy().tolist(), strict=True))
