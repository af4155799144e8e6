"""A model in a notebook: Keras `fit` by TFRS's own step makes the steps of the command's loop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from trainer.config import TrainerConfig
from trainer.data.training_data import TrainingData
from trainer.job.job_folder import Job
from trainer.models.build import build_model
from trainer.models.two_tower import TwoTower
from trainer.training.distribution import placement_of
from trainer.training.loop import Trainer, steps_of
from trainer.training.optimizers import build_optimizer

STEPS = 6
OVERRIDES = {
    "mgdspr": ("loss.hard_negatives.count=8",),
    "mmse": ("loss.ranking.weight=0.5", "loss.levels={purchase: 2, click: 1, exposure: 0.5}"),
    "dnn": ("loss.mined_negatives=16", "dnn.attributes=[item,leaf]", "data.catalog_requests=0.25"),
    "tfrs": ("loss.kind=tfrs",),
}


class Losses(tf.keras.callbacks.Callback):
    """What `fit` says of each step."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[float] = []

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        assert logs is not None
        self.seen.append(logs["loss"])


def by_fit(config: TrainerConfig, data: str, spec: dict[str, Any]) -> tuple[list[float], TwoTower]:
    tf.keras.utils.set_random_seed(config.seed)
    model = build_model(config, spec)
    batches = TrainingData(data, config, model.request_columns, model.item_columns)
    model.compile(build_optimizer(model, config.optimizer, steps_of(config, batches.requests)))
    losses = Losses()
    model.fit(batches.batches(), steps_per_epoch=STEPS, verbose=0, callbacks=[losses])
    return losses.seen, model


def by_loop(config: TrainerConfig, data: str, spec: dict[str, Any], job: Path) -> tuple[list[float], TwoTower]:
    tf.keras.utils.set_random_seed(config.seed)
    trainer = Trainer(config, data, Job(str(job)), placement_of(config.distribution), spec)
    batches = trainer.batches(0)
    return [float(trainer.train(batches, tf.constant(1))[1]["loss"]) for _ in range(STEPS)], trainer.model


@pytest.mark.parametrize("name", OVERRIDES)
def test_fit_makes_the_steps_of_the_command(
    name: str, config: Callable[..., TrainerConfig], data: str, spec: dict[str, Any], tmp_path: Path
) -> None:
    """On the same batches, with dropout, mixing, warm-up and clipping: the same losses, and the same weights."""
    settings = config(name, *OVERRIDES[name])
    losses, model = by_fit(settings, data, spec)
    expected, trained = by_loop(settings, data, spec, tmp_path)
    assert losses == pytest.approx(expected, abs=1e-5) and len(set(losses)) == STEPS
    assert int(model.noise.step) == int(trained.noise.step) == STEPS
    for one, other in zip(model.trainable_variables, trained.trainable_variables, strict=True):
        assert one.numpy() == pytest.approx(other.numpy(), abs=1e-5), one.name


def test_evaluate_is_the_loss_without_noise(
    config: Callable[..., TrainerConfig], data: str, spec: dict[str, Any]
) -> None:
    settings = config("mgdspr")
    model = build_model(settings, spec)
    batches = TrainingData(data, settings, model.request_columns, model.item_columns).batches()
    model.compile()
    found = model.evaluate(batches, steps=1, verbose=0, return_dict=True)
    first = next(iter(batches))
    assert found["loss"] == pytest.approx(float(model.compute_loss(first)), rel=1e-5)
    assert found["loss"] != pytest.approx(float(model.compute_loss(first, training=True)), rel=1e-5)
    assert int(model.noise.step) == 0
