"""For trainings on several replicas: a job without noise, and whether two jobs ended in the same weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.trainer.conftest import write_config

# Replicas draw noise of their own; without it they must agree with one device.
STILL = ("dnn.id_dropout=0", "training.steps=8", "loss.hard_negatives.count=0", "optimizer.warmup_steps=0")
STILL += ("data.catalog_requests=0.25",)


def write_settings(folder: Path) -> str:
    """The YAML of a job that replicas train as one device does."""
    # Without random items: each replica ranks against its own part of them, so they differ from those of one device.
    pairs = {"ordered>clicked": [0.5, 1.0], "ordered>shown": [1.0, 1.0], "clicked>shown": [0.5, 1.0]}
    ranking = {"weight": 0.5, "pairs": pairs}
    loss = {"catalog_negatives": 64, "ranking": ranking}
    return write_config(folder, model="dnn", loss=loss)


def weights(job: Path) -> dict[str, np.ndarray]:
    """Those of the last checkpoint."""
    path = tf.train.latest_checkpoint(str(job / "checkpoints/last"))
    reader = tf.train.load_checkpoint(path)
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map() if name.startswith("model/")}


def agree(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    """Asserts that they are the same but for rounding."""
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert other[name] == pytest.approx(value, abs=2e-3), name
