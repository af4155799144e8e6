"""The papers' own configs: their values as resolved, and that they train."""

from __future__ import annotations

import operator
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from preprocessing.command.experiment import load_section
from preprocessing.config import PreprocessingConfig
from trainer.config import TrainerConfig
from trainer.data.training_data import TrainingData
from trainer.models.build import build_model
from trainer.training.optimizers import build_optimizer

PAPER = Path(__file__).parents[3] / "configs" / "paper"
MGDSPR: dict[str, Any] = {
    "mgdspr.dim": 128,
    "mgdspr.grains.grams": ("char", "bigram", "word"),
    "mgdspr.grains.sequence": True,
    "mgdspr.grains.history": True,
    "mgdspr.grains.mix": True,
    "mgdspr.grains.sequence_heads": 8,
    "mgdspr.horizons.realtime.lstm_layers": 2,
    "mgdspr.horizons.realtime.dropout": 0.2,
    "mgdspr.horizons.realtime.heads": 8,
    "mgdspr.horizons.short.heads": 8,
    "mgdspr.horizons.short.self_attention": True,
    "mgdspr.horizons.zero_vector": True,
    "mgdspr.fusion": "cls",
    "mgdspr.fusion_heads": 8,
    "mgdspr.item.side": (),
    "mgdspr.item.title_grams": ("word",),
    "mgdspr.item.id_dropout": 0,
    "mgdspr.normalize": False,
    "loss.kind": "softmax",
    "loss.in_batch": False,
    "loss.correction": False,
    "loss.temperature": 2,
    "loss.stage_weights": {"ordered": 1, "clicked": 1},
    "loss.mined_negatives": 0,
    "loss.ranking.weight": 0,
    "loss.hard_negatives.count": 684,
    "loss.hard_negatives.alpha": (0.4, 0.6),
    "optimizer.embedding_rate": 0.1,
    "optimizer.dense": "adagrad",
    "optimizer.dense_rate": 0.1,
    "optimizer.warmup_steps": 0,
    "optimizer.decay": "constant",
    "optimizer.clip_norm": 3,
    "data.batch": 256,
}


def resolved(name: str, *overrides: str) -> TrainerConfig:
    return load_section(str(PAPER / f"{name}.yaml"), "trainer", TrainerConfig, [f"trainer.{one}" for one in overrides])


def test_mgdspr_as_the_paper_ran_it() -> None:
    config = resolved("mgdspr")
    assert config.model == "mgdspr"
    assert {key: operator.attrgetter(key)(config) for key in MGDSPR} == MGDSPR
    history = load_section(str(PAPER / "mgdspr.yaml"), "preprocessing", PreprocessingConfig).history
    assert operator.attrgetter("realtime", "short", "long", "short_days", "long_days")(history) == (
        50,
        100,
        100,
        10,
        30,
    )


def test_every_line_of_mmse_says_whose_it_is() -> None:
    config = resolved("mmse")
    assert (config.model, config.mmse.fusion) == ("mmse", "similarities") and config.loss.ranking.weight > 0
    values = [line for line in (PAPER / "mmse.yaml").read_text().splitlines() if not line.endswith(":")]
    assert len(values) > 20 and all(re.search(r"# .*\b(public|ours)\b", line) for line in values)


@pytest.mark.parametrize("name", ["mgdspr", "mmse"])
def test_a_paper_config_trains(name: str, data: str, spec: dict[str, Any]) -> None:
    """At its own widths; on a small market there are fewer items than the paper mixes negatives of."""
    small = ("data.batch=64", "data.shuffle=200", "loss.catalog_negatives=256", "optimizer.warmup_steps=0")
    config = resolved(name, *small)
    model = build_model(config, spec)
    batches = TrainingData(data, config, model.request_columns, model.item_columns)
    model.compile(build_optimizer(model, config.optimizer, 16))
    shown = model.fit(batches.batches(), steps_per_epoch=8, epochs=2, verbose=0)
    assert np.all(np.isfinite(shown.history["loss"])) and shown.history["loss"][1] < shown.history["loss"][0]
