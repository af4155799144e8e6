"""Padded lists: the same steps as of ragged ones, compiled or not, in few shapes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from preprocessing.command.console import UserError
from trainer.config import TrainerConfig
from trainer.job.job_folder import Job
from trainer.training.distribution import placement_of
from trainer.training.loop import Trainer

# Dropout draws a number a place, and padded lists have more places; without it nothing may differ.
SILENT = ("training.histograms=false", "optimizer.warmup_steps=0")
PAST = ("horizons.realtime.dropout=0", "horizons.signal_dropout=0", "item.id_dropout=0")
CASES = {
    "mgdspr": (*(f"mgdspr.{one}" for one in PAST), "data.catalog_requests=0.25", "loss.same_leaf_negatives=4"),
    "mmse": (
        *(f"mmse.{one}" for one in PAST),
        "loss.ranking.weight=0.5",
        "loss.ranking.position=true",
        "loss.levels={purchase: 2, click: 1, exposure: 0.5}",
    ),
    "dnn": ("dnn.id_dropout=0", "dnn.attributes=[item,leaf]", "loss.mined_negatives=16"),
}
LOSSES = {
    "hard": (
        "loss.hard_negatives.count=8",
        "loss.hard_negatives.alpha=[0.5,0.50001]",
        "loss.hard_negatives.mask=[request,shown,query,leaf]",
    ),
    "hinge": ("loss.kind=hinge", "loss.mask_accidental_hits=false"),
    "alone": ("loss.in_batch=false", "loss.correction=false"),
}


class Step(NamedTuple):
    """The first step of a job."""

    loss: float
    norm: float  # of the gradient
    variables: list[np.ndarray]  # all of them, after it


def one_step(settings: TrainerConfig, data: str, spec: dict[str, Any], job: Path) -> Step:
    """Makes it."""
    tf.keras.utils.set_random_seed(settings.seed)
    trainer = Trainer(settings, data, Job(str(job)), placement_of(settings.distribution), spec)
    _, losses, norm, _ = trainer.train(trainer.batches(0), tf.constant(1))
    return Step(float(losses["loss"]), float(norm), [one.numpy() for one in trainer.model.trainable_variables])


def assert_the_same(found: Step, expected: Step) -> None:
    assert found.loss == pytest.approx(expected.loss, abs=1e-4)
    assert found.norm == pytest.approx(expected.norm, rel=1e-4)
    for one, other in zip(found.variables, expected.variables, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_a_step_is_that_of_ragged_lists(
    name: str, config: Callable[..., TrainerConfig], data: str, spec: dict[str, Any], tmp_path: Path
) -> None:
    overrides = (*SILENT, *CASES[name])
    ragged = one_step(config(name, *overrides), data, spec, tmp_path / "ragged")
    for mode in ("false", "true"):
        padded = config(name, *overrides, "training.padded=true", f"training.xla={mode}")
        assert_the_same(one_step(padded, data, spec, tmp_path / f"compiled-{mode}"), ragged)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_leaves_out_places_without_items(
    name: str, config: Callable[..., TrainerConfig], data: str, spec: dict[str, Any], tmp_path: Path
) -> None:
    overrides = (*SILENT, *CASES["dnn"][:2], *LOSSES[name])
    ragged = one_step(config("dnn", *overrides), data, spec, tmp_path / "ragged")
    padded = config("dnn", *overrides, "training.padded=true")
    assert_the_same(one_step(padded, data, spec, tmp_path / "padded"), ragged)


def test_a_job_goes_on_in_the_other_mode(
    config: Callable[..., TrainerConfig], data: str, spec: dict[str, Any], tmp_path: Path
) -> None:
    """Eight ragged steps and eight padded ones end where sixteen ragged ones do."""
    both = (*SILENT, *CASES["dnn"], "training.steps=16", "validation.every_steps=0")
    ends = {}
    for name, modes in {"one": ("false", "false"), "two": ("false", "true")}.items():
        for halt, padded in zip((8, 16), modes, strict=True):
            settings = config("dnn", *both, f"training.padded={padded}")
            tf.keras.utils.set_random_seed(settings.seed)
            job = Job(str(tmp_path / name))
            job.begin(settings, data)
            trainer = Trainer(settings, data, job, placement_of(settings.distribution), spec)
            step = trainer.begin()
            assert step == halt - 8
            trainer.train(trainer.batches(step), tf.constant(8))
            trainer.checkpoints.save(halt)
        ends[name] = [one.numpy() for one in trainer.model.trainable_variables]
    for one, other in zip(ends["one"], ends["two"], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (("training.xla=true",), "set padded"),
        (("training.padded=true", "distribution.strategy=mirrored"), "one device"),
        (("training.padded=true", "loss.kind=tfrs"), "loss.kind: tfrs"),
    ],
)
def test_what_cannot_be_padded_is_refused(
    overrides: tuple[str, ...], named: str, config: Callable[..., TrainerConfig]
) -> None:
    with pytest.raises(UserError, match=named):
        config("dnn", *overrides)
