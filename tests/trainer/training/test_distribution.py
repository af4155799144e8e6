"""Replicas together make the steps of one device: the pool, the sums and the gradients are gathered."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from preprocessing.command.console import UserError
from tests.ports import free_ports
from tests.trainer.conftest import ROOT, command, finish, flags, write_config
from trainer.config_training import DistributionConfig
from trainer.data.catalog_requests import joined
from trainer.task import main
from trainer.training.distribution import placement_of
from trainer.training.loop import Trainer

# Replicas draw noise of their own; without it they must agree with one device.
STILL = ("dnn.id_dropout=0", "training.steps=8", "loss.hard_negatives.count=0", "optimizer.warmup_steps=0")
STILL += ("data.catalog_requests=0.25",)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> str:
    # Without random items: each replica ranks against its own part of them, so they differ from those of one device.
    pairs = {"ordered>clicked": [0.5, 1.0], "ordered>shown": [1.0, 1.0], "clicked>shown": [0.5, 1.0]}
    ranking = {"weight": 0.5, "pairs": pairs}
    loss = {"catalog_negatives": 64, "ranking": ranking}
    return write_config(tmp_path_factory.mktemp("settings"), model="dnn", loss=loss)


def weights(job: Path) -> dict[str, np.ndarray]:
    path = tf.train.latest_checkpoint(str(job / "checkpoints/last"))
    reader = tf.train.load_checkpoint(path)
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map() if name.startswith("model/")}


def agree(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert other[name] == pytest.approx(value, abs=2e-3), name


def test_two_devices_of_one_process(settings: str, data: str, tmp_path: Path) -> None:
    main(list(flags(settings, data, tmp_path / "alone", *STILL)))
    devices = ("distribution.strategy=mirrored", "distribution.devices=[CPU:0, CPU:1]")
    script = [sys.executable, str(Path(__file__).with_name("two_devices.py"))]
    process = subprocess.run(
        [*script, *flags(settings, data, tmp_path / "job", *STILL, *devices)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    agree(weights(tmp_path / "alone"), weights(tmp_path / "job"))


def batches_of_both(self: Trainer, step: int) -> Iterator[Any]:
    """What two workers read, each from its own files, as one batch."""
    parts = tuple(self.data.batches(step, 2, worker, 2) for worker in (0, 1))
    both = tf.data.Dataset.zip(parts)
    return iter(both.map(lambda one, other: {kind: joined(one[kind], other[kind]) for kind in one}))


def test_two_worker_processes(settings: str, data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With levels, which the other strategy is not asked for: the gathering is the same."""
    levels = "loss.levels={purchase: 2, click: 1, exposure: 0.5}"
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "batches", batches_of_both)
        main(list(flags(settings, data, tmp_path / "alone", *STILL, levels)))
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(2)]}
    overrides = (*STILL, levels, "distribution.strategy=multiworker")
    workers = [
        command(
            *flags(settings, data, tmp_path / "job", *overrides),
            TF_CONFIG=json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}}),
        )
        for index in range(2)
    ]
    said = [finish(worker) for worker in workers]
    assert "step 8/8" in said[0] and "step 8/8" not in said[1]
    # The chief alone validates, and both know what came out.
    assert "step 8: recall@20" in said[0] and "step 8: recall@20" not in said[1]
    best = [re.findall(r"best recall@20 [0-9.]+", one) for one in said]
    assert best[0] == best[1] and len(best[0]) == 1
    agree(weights(tmp_path / "alone"), weights(tmp_path / "job"))
    assert (tmp_path / "job/towers/query/saved_model.pb").exists()


def test_multiworker_without_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(UserError, match="TF_CONFIG does not name a cluster and a task"):
        placement_of(DistributionConfig(strategy="multiworker"))


@pytest.mark.parametrize(
    ("kind", "index", "chief"), [("chief", 0, True), ("worker", 0, False), ("worker", 1, False), ("worker", 0, True)]
)
def test_one_process_writes(kind: str, index: int, chief: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The chief, or without one the first worker."""
    roles = {"worker": ["a:1", "b:1"]} if chief and kind == "worker" else {"chief": ["c:1"], "worker": ["a:1", "b:1"]}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": roles, "task": {"type": kind, "index": index}}))
    monkeypatch.setattr(tf.distribute, "MultiWorkerMirroredStrategy", tf.distribute.get_strategy)
    assert placement_of(DistributionConfig(strategy="multiworker")).chief is chief
