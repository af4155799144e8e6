"""The rates of each step, and one clipping over both groups of variables."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from trainer.config import OptimizerConfig, TrainerConfig
from trainer.data.training_data import TrainingData
from trainer.models.build import build_model
from trainer.training.optimizers import WarmUpAndDecay, build_optimizer, sum_rows


@pytest.mark.parametrize(
    ("decay", "shares"),
    [
        ("constant", {0: 0.25, 3: 1.0, 4: 1.0, 9: 1.0, 14: 1.0, 99: 1.0}),
        ("linear", {0: 0.25, 3: 1.0, 4: 1.0, 9: 0.6, 14: 0.2, 99: 0.2}),
        ("cosine", {0: 0.25, 3: 1.0, 4: 1.0, 9: 0.6, 14: 0.2, 99: 0.2}),
    ],
)
def test_up_in_a_line_then_down_to_a_share(decay: Any, shares: dict[int, float]) -> None:
    """Four steps of warm-up, ten of decay; in its middle a line and a cosine are both half way down."""
    config = OptimizerConfig(warmup_steps=4, decay=decay, final_share=0.2)
    rate = WarmUpAndDecay(0.5, steps=14, config=config)
    assert {step: float(rate(tf.constant(step))) / 0.5 for step in shares} == pytest.approx(shares)
    if decay == "cosine":
        assert float(rate(tf.constant(6))) / 0.5 == pytest.approx(1 - 0.8 * (1 - math.cos(0.2 * math.pi)) / 2, rel=1e-5)
    assert rate.get_config()["peak"] == 0.5


@given(st.lists(st.integers(0, 5), max_size=12))
def test_rows_summed_once_are_the_same_gradient(rows: list[int]) -> None:
    values = np.arange(2 * len(rows), dtype=np.float32).reshape(-1, 2)
    given_rows = tf.IndexedSlices(tf.constant(values), tf.constant(rows, tf.int64), tf.constant([6, 2]))
    expected = np.zeros([6, 2], np.float32)
    np.add.at(expected, rows, values)
    summed = sum_rows(given_rows)
    found = summed.indices.numpy().tolist()
    assert sorted(found) == sorted(set(rows)) and summed.values.numpy().tolist() == expected[found].tolist()


@pytest.mark.parametrize("clip_norm, dense", [(0.0, "adam"), (0.5, "adam"), (0.5, "adagrad")])
def test_one_clipping_over_both_groups(
    clip_norm: float, dense: str, config: Callable[..., TrainerConfig], data: str, spec: dict[str, Any]
) -> None:
    """The norm is of all gradients together, each row of a table once; both groups are scaled by it alike."""
    switches = f"optimizer.clip_norm={clip_norm}", f"optimizer.dense={dense}", "optimizer.warmup_steps=0"
    settings = config("dnn", *switches, "dnn.id_dropout=0")
    model = build_model(settings, spec)
    batch = next(iter(TrainingData(data, settings, model.request_columns, model.item_columns).batches()))
    with tf.GradientTape() as tape:
        loss = model.compute_loss(batch, training=True)
    variables = model.trainable_variables
    gradients = [tf.convert_to_tensor(one).numpy() for one in tape.gradient(loss, variables)]
    expected = float(np.sqrt(sum((one.astype(np.float64) ** 2).sum() for one in gradients)))
    scale = min(1.0, clip_norm / expected) if clip_norm else 1.0
    before = [variable.numpy() for variable in variables]
    optimizer = build_optimizer(model, settings.optimizer, 10)
    assert float(optimizer.apply_gradients(zip(gradients, variables, strict=True))) == pytest.approx(expected, rel=1e-4)
    rates, start = settings.optimizer, settings.optimizer.adagrad_accumulator
    tables = {variable.ref() for variable in model.query_tower.tables.trainable_variables}
    for variable, old, gradient in zip(variables, before, gradients, strict=True):
        if variable.ref() in tables or dense == "adagrad":  # Adagrad's first step
            rate = rates.embedding_rate if variable.ref() in tables else rates.dense_rate
            step = rate * gradient * scale / np.sqrt(start + (gradient * scale) ** 2)
            assert variable.numpy() == pytest.approx(old - step, abs=1e-4)
    assert len(optimizer.weights) == len(optimizer.variables()) > len(variables)
