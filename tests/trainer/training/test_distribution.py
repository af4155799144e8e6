"""Replicas together make the steps of one device: the pool, the sums and the gradients are gathered."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from preprocessing.command.console import UserError
from tests.trainer.conftest import ROOT, flags
from tests.trainer.training.replicas import STILL, agree, weights, write_settings
from trainer.config_training import DistributionConfig
from trainer.task import main
from trainer.training.distribution import placement_of


def test_two_devices_of_one_process(data: str, tmp_path: Path) -> None:
    settings = write_settings(tmp_path)
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
